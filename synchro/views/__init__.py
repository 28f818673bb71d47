"""The pages of synchro: the dashboard, jobs, reset, and what the admin's pages show."""
