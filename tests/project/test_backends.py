"""The part of the test infrastructure that can be tested without a server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends import (
    BackendError,
    apt,
    client_command,
    compose,
    find,
    lifecycle,
    pairs,
    processes,
    state,
)
from tests.backends.__main__ import chosen, main, split
from tests.backends.commands import run
from tests.backends.readiness import answers
from tests.backends.server import KINDS, Server, from_url, variable
from tests.databases import database_from_url
from tests.suite.outcomes import Counts, Outcome, closing_lines, read_junit

pytestmark = pytest.mark.once


def server(name: str = "mysql", **fields: object) -> Server:
    """A server that nobody started."""
    values = {"name": name, "kind": KINDS[name], "origin": "native", "host": "127.0.0.1", "port": 1, **fields}
    return Server(**values)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of state files that holds none."""
    monkeypatch.setenv(state.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


class TestServerFromUrl:
    def test_every_part_is_read(self) -> None:
        found = from_url("mysql", "mysql://root:s%40fe@db.example:3307/synchro")
        assert (found.host, found.port, found.user, found.password) == ("db.example", 3307, "root", "s@fe")
        assert found.database == "synchro"

    def test_default_port_is_the_one_of_the_kind(self) -> None:
        assert from_url("postgresql_old", "postgresql://me@localhost/x").port == 5432

    def test_url_survives_the_way_there_and_back(self) -> None:
        url = "mariadb://a%2Fb:c%3Ad@127.0.0.1:3306/synchro"
        assert from_url("mariadb", url).url == url

    @pytest.mark.parametrize("url", ["mysql://root@h/x", "h:3306", "postgresql://h/x"])
    def test_other_kind_of_server_is_refused(self, url: str) -> None:
        with pytest.raises(BackendError, match="SYNCHRO_TEST_MARIADB_URL must begin with mariadb://"):
            from_url("mariadb", url)

    @pytest.mark.parametrize("url", ["mysql://", "mysql:///synchro", "mysql://root@h"])
    def test_incomplete_url_is_refused_with_its_form(self, url: str) -> None:
        with pytest.raises(BackendError, match="must look like mysql://user:password@host:port/database"):
            from_url("mysql", url)


class TestDatabaseFromUrl:
    def test_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'oracle' is none of sqlite"):
            database_from_url("oracle://h/x", "local")

    def test_two_sides_of_one_server_get_different_test_databases(self) -> None:
        url = server().url
        local, remote = (database_from_url(url, side)["TEST"]["NAME"] for side in ("local", "remote"))
        assert (local, remote) == ("synchro_local", "synchro_remote")


class TestNames:
    def test_unknown_backend_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(BackendError, match="'oracle' is none of the backends: postgresql, "):
            chosen("mysql,oracle")

    def test_spaces_between_names_do_not_matter(self) -> None:
        assert chosen("mysql, mariadb,") == ["mysql", "mariadb"]

    def test_one_name_is_a_pair_of_the_same_backend(self) -> None:
        assert pairs.find("mysql") == pairs.Pair("mysql", "mysql")

    def test_every_pair_is_found_by_its_label(self) -> None:
        assert [pairs.find(pair.label) for pair in pairs.PAIRS] == list(pairs.PAIRS)

    def test_any_two_backends_make_a_pair(self) -> None:
        assert pairs.find("mariadb-mysql").servers == {"mariadb", "mysql"}

    def test_any_pair_can_capture_by_triggers(self) -> None:
        found = pairs.find("mariadb-mysql-triggers")
        assert (found.name, found.capture) == ("mariadb-mysql", "triggers")

    @pytest.mark.parametrize("label", ["oracle", "sqlite-oracle", "mysql-", "", "-triggers"])
    def test_unknown_pair_is_refused(self, label: str) -> None:
        with pytest.raises(BackendError, match="is no pair"):
            pairs.find(label)


class TestCommandLine:
    def test_command_keeps_its_own_options(self) -> None:
        options, command = split(["run", "--pair", "mysql", "--", "pytest", "--", "-x"])
        assert (options, command) == (["run", "--pair", "mysql"], ["pytest", "--", "-x"])

    def test_command_gets_the_databases_of_the_pair(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        show = "import os; print(os.environ['SYNCHRO_TEST_PAIR'], os.environ['SYNCHRO_TEST_LOCAL'])"
        assert main(["run", "--pair", "sqlite", "--", sys.executable, "-c", show]) == 0
        assert capfd.readouterr().out.startswith("sqlite-sqlite sqlite:////")

    def test_exit_code_is_the_one_of_the_command(self, folder: Path) -> None:
        assert main(["run", "--pair", "sqlite", "--", "sh", "-c", "exit 7"]) == 7

    def test_missing_command_is_named(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", "--pair", "sqlite", "--", "no-such-program"]) == 1
        assert "error: cannot run no-such-program: No such file" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["run"], ["start", "--", "ls"]])
    def test_run_and_only_run_takes_a_command(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main(arguments)
        assert "run, and only run, takes a command" in capsys.readouterr().err


class TestState:
    def test_what_is_saved_is_loaded(self, folder: Path) -> None:
        saved = state.State(folder / "run-1.json", 1, {"mysql": server()}, "docker:x", {"mariadb": "no"})
        saved.save()
        assert state.load(saved.path) == saved

    def test_broken_file_is_named(self, folder: Path) -> None:
        (folder / "x.json").write_text("{")
        with pytest.raises(BackendError, match=r"x\.json does not tell which servers run"):
            state.load(folder / "x.json")

    def test_leftover_of_a_killed_run_is_stopped_and_removed(self, folder: Path) -> None:
        data = folder / "synchro-tests-left"
        data.mkdir()
        left = server(folder=str(data), pidfile=str(data / "pid"))
        # the name of its folder is in the command line, as with every server of ours
        processes.launch(["tail", "-f", str(data / "log")], data / "pid", data / "log")
        state.State(folder / "run-0.json", owner=2**22 + 1, servers={"mysql": left}).save()
        lifecycle.clean_up_after_the_killed()
        assert not data.exists()
        assert not list(folder.glob("run-*.json"))

    def test_server_named_by_the_environment_is_not_ours_to_restart(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state.State(folder / "x.json", servers={"mysql": server(origin="environment")}).save()
        monkeypatch.setenv(state.VARIABLE, str(folder / "x.json"))
        with pytest.raises(BackendError, match="not ours to touch"):
            find("mysql")

    def test_without_started_servers_the_reason_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(state.VARIABLE, raising=False)
        with pytest.raises(BackendError, match="no server was started"):
            find("mysql")


class TestStart:
    def test_named_server_that_is_down_is_not_replaced(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifecycle, "NAMED_SECONDS", 0)
        monkeypatch.setenv(variable("mysql"), f"mysql://u:p@127.0.0.1:{processes.free_port()}/synchro")
        current = state.State(folder / "x.json")
        lifecycle.start(current, ["mysql"], print)
        assert "SYNCHRO_TEST_MYSQL_URL does not answer" in current.skipped["mysql"]
        assert not current.servers

    def test_in_ci_only_what_needs_containers_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CI", "true")
        assert [name for name in KINDS if not lifecycle.is_required(name)] == ["mysql_old", "mariadb_old"]

    def test_for_a_person_every_server_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CI", raising=False)
        assert not any(lifecycle.is_required(name) for name in KINDS)


class TestProcesses:
    def test_process_is_launched_known_and_stopped(self, tmp_path: Path) -> None:
        pidfile = tmp_path / "pid"
        processes.launch(["tail", "-f", str(tmp_path / "log")], pidfile, tmp_path / "log")
        assert processes.is_running(pidfile)
        processes.stop(pidfile, [signal.SIGTERM, signal.SIGKILL])
        assert not processes.is_running(pidfile)

    def test_process_that_becomes_another_program_is_running_all_the_while(self, tmp_path: Path) -> None:
        script, pidfile = tmp_path / "again", tmp_path / "pid"
        script.write_text(
            f'#!/bin/sh\nif [ $1 -gt 0 ]; then exec "$0" $(($1 - 1)); fi\nexec tail -f {script}\n'
        )
        script.chmod(0o755)
        processes.launch([str(script), "400"], pidfile, tmp_path / "log")
        process = Path(f"/proc/{pidfile.read_text().strip()}/comm")
        while process.read_text() != "tail\n":
            assert processes.is_running(pidfile)
        processes.stop(pidfile, [signal.SIGKILL])

    def test_other_process_with_the_same_pid_is_left_alone(self, tmp_path: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
            (tmp_path / "pid").write_text(str(other.pid))
            processes.stop(tmp_path / "pid", [signal.SIGKILL])
            assert other.poll() is None
            other.communicate(b"\n")
        assert other.returncode == 0

    def test_condition_that_never_holds_ends_in_the_complaint(self) -> None:
        with pytest.raises(BackendError, match="no luck"):
            processes.wait_until(lambda: False, 0.1, lambda: "no luck")

    def test_failed_command_is_told_with_the_end_of_its_output(self) -> None:
        with pytest.raises(BackendError, match=r"exit 3 from: sh -c .*\n +oops"):
            run(["sh", "-c", "echo oops; exit 3"])

    def test_missing_program_is_named(self) -> None:
        with pytest.raises(BackendError, match="'no-such-program' is not installed"):
            run(["no-such-program"])

    @pytest.mark.parametrize("name", ["mysql", "postgresql"])
    def test_nobody_listening_is_no_answer(self, name: str) -> None:
        assert not answers(server(name, port=processes.free_port()))

    @pytest.mark.parametrize("name", ["mysql", "postgresql"])
    def test_listening_and_saying_nothing_useful_is_no_answer(self, name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            with subprocess.Popen(
                [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}))"]
            ):
                listener.accept()[0].close()
            listener.close()
            assert not answers(server(name, port=port))


class TestContainers:
    """With a container engine that only pretends."""

    @pytest.fixture
    def engine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The engine's program: it notes its arguments and obeys the rules that a test appends to it."""
        program = tmp_path / "docker"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr(compose, "ENGINES", ("docker",))
        return program

    def rule(self, engine: Path, pattern: str, action: str) -> None:
        """Let the engine do `action` when its arguments match the shell's `pattern`."""
        with engine.open("a") as script:
            script.write(f'case "$*" in {pattern}) {action};; esac\n')

    def test_engine_that_does_not_run_is_told(self, engine: Path) -> None:
        self.rule(engine, "info", "exit 1")
        with pytest.raises(BackendError, match="no container engine runs here"):
            compose.start(["mysql"], print)

    def test_engine_without_images_starts_nothing(self, engine: Path) -> None:
        self.rule(engine, '*"config --images"*', "echo mysql:9")
        self.rule(engine, '"image inspect"*', "exit 1")
        self.rule(engine, "pull*", "exit 1")
        with pytest.raises(BackendError, match="none of the images is here"):
            compose.start(["mysql", "mariadb"], print)
        assert " up " not in engine.with_name("calls").read_text()

    def test_only_backends_with_an_image_are_started_and_all_are_removed(self, engine: Path) -> None:
        self.rule(engine, '*"config --images mysql"', "echo mysql:9")
        self.rule(engine, '*"config --images mariadb"', "echo mariadb:11")
        self.rule(engine, '"image inspect mariadb:11"', "exit 1")
        self.rule(engine, "pull*", "exit 1")
        projects: list[str] = []
        found = compose.start(["mysql", "mariadb"], projects.append)
        assert [(server.name, server.origin) for server in found.values()] == [("mysql", "compose")]
        compose.remove(projects[0])
        *_others, up, down = engine.with_name("calls").read_text().splitlines()
        name = projects[0].removeprefix("docker:")
        assert up.startswith(f"compose --project-name {name} ")
        assert up.endswith("up --detach --wait mysql")
        assert down.endswith("down --volumes --timeout 0")


class TestApt:
    @pytest.mark.parametrize(
        "sources",
        [
            "# a comment\ndeb http://mirror.example/debian bookworm main\n",
            "deb [signed-by=/x.gpg arch=amd64] http://mirror.example/debian/ bookworm main\n",
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n",
        ],
    )
    def test_mirror_is_found_in_either_format(self, sources: str) -> None:
        assert apt.mirror_in(sources) == "http://mirror.example/debian"

    def test_archives_of_others_are_no_mirror_of_debian(self) -> None:
        assert apt.mirror_in("deb https://other.example/apt stable main\n") is None


def test_client_command_needs_a_client_program() -> None:
    with pytest.raises(BackendError, match="the client program of mysql is not installed"):
        client_command(server(), "synchro")


class TestOutcomes:
    def test_last_line_is_the_sum(self) -> None:
        outcomes = [Outcome("a", passed=2, skipped=1), Outcome("b", passed=1, failed=1)]
        *_table, skipped, last = closing_lines(outcomes, {"mysql": "needs root\nmore"}).splitlines()
        assert last == "3 passed, 1 failed, 1 skipped"
        assert skipped.endswith("mysql: needs root")

    def test_errors_in_fixtures_count_as_failures(self, tmp_path: Path) -> None:
        report = tmp_path / "report.xml"
        report.write_text(
            '<testsuites><testsuite tests="7" failures="1" errors="1" skipped="2"/></testsuites>'
        )
        assert read_junit(report) == Counts(passed=3, failed=2, skipped=2)

    def test_run_without_a_report_has_no_counts(self, tmp_path: Path) -> None:
        assert read_junit(tmp_path / "none.xml") is None
