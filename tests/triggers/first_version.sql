BEGIN;
CREATE OR REPLACE FUNCTION "public"."synchro_capture_unique_2c25518c"() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $synchro$
-- Made by django-synchro, version 60475e09a2, content type CONTENT_TYPE: capture.Unique
-- To remove it: manage.py synchro_install_triggers --uninstall
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO "public"."synchro_changelog" ("content_type_id", "object_id", "date", "action")
        SELECT CONTENT_TYPE, synchro_new_row."id"::text, clock_timestamp(), 1 FROM synchro_new AS synchro_new_row;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO "public"."synchro_changelog" ("content_type_id", "object_id", "date", "action", "fields")
        SELECT CONTENT_TYPE, c.synchro_key, clock_timestamp(), c.synchro_action,
            CASE WHEN c.synchro_action = 2 AND right(c.synchro_fields, 1) <> '*' THEN substr(c.synchro_fields, 2) END
        FROM (
            SELECT CASE WHEN synchro_new_row."id" IS NULL THEN 3 WHEN synchro_old_row."id" IS NULL THEN 1 ELSE 2 END AS synchro_action,
                CASE WHEN synchro_new_row."id" IS NULL THEN synchro_old_row."id"::text ELSE synchro_new_row."id"::text END AS synchro_key,
                CASE WHEN synchro_old_row."code"::text COLLATE "C" IS DISTINCT FROM synchro_new_row."code"::text COLLATE "C" THEN ',code' ELSE '' END
                    || CASE WHEN synchro_old_row."name"::text COLLATE "C" IS DISTINCT FROM synchro_new_row."name"::text COLLATE "C" THEN ',name' ELSE '' END
                    || CASE WHEN EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = TG_RELID AND attnum > 3 AND NOT attisdropped) THEN CASE WHEN NOT synchro_old_row.* *<> synchro_new_row.* THEN '' ELSE ',*' END ELSE '' END AS synchro_fields
            FROM synchro_old AS synchro_old_row FULL JOIN synchro_new AS synchro_new_row
                ON synchro_old_row."id" = synchro_new_row."id"
            
            OFFSET 0
        ) AS c
        WHERE c.synchro_action <> 2 OR c.synchro_fields <> '';
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO "public"."synchro_changelog" ("content_type_id", "object_id", "date", "action")
        SELECT CONTENT_TYPE, synchro_old_row."id"::text, clock_timestamp(), 3 FROM synchro_old AS synchro_old_row;
    ELSE
        IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
            -- Rows that others have committed since would go too, and this transaction cannot see them.
            RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
                MESSAGE = pg_catalog.concat('TRUNCATE of ', TG_RELID::regclass,
                    ' cannot be captured in a transaction of the isolation level ',
                    pg_catalog.current_setting('transaction_isolation')),
                HINT = 'Use DELETE, or TRUNCATE in a READ COMMITTED transaction. (django-synchro)';
        END IF;
        EXECUTE format(E'INSERT INTO "public"."synchro_changelog" ("content_type_id", "object_id", "date", "action")
        SELECT CONTENT_TYPE, synchro_old_row."id"::text, clock_timestamp(), 3 FROM %s AS synchro_old_row', TG_RELID::regclass);
    END IF;
    RETURN NULL;
END
$synchro$;
REVOKE ALL ON FUNCTION "public"."synchro_capture_unique_2c25518c"() FROM PUBLIC;
CREATE OR REPLACE TRIGGER "synchro_capture_insert"
    AFTER INSERT ON "capture_unique" REFERENCING NEW TABLE AS synchro_new FOR EACH STATEMENT
    WHEN (pg_catalog.current_setting('synchro.capture', true) IS DISTINCT FROM 'off')
    EXECUTE FUNCTION "public"."synchro_capture_unique_2c25518c"();
CREATE OR REPLACE TRIGGER "synchro_capture_update"
    AFTER UPDATE ON "capture_unique" REFERENCING OLD TABLE AS synchro_old NEW TABLE AS synchro_new FOR EACH STATEMENT
    WHEN (pg_catalog.current_setting('synchro.capture', true) IS DISTINCT FROM 'off')
    EXECUTE FUNCTION "public"."synchro_capture_unique_2c25518c"();
CREATE OR REPLACE TRIGGER "synchro_capture_delete"
    AFTER DELETE ON "capture_unique" REFERENCING OLD TABLE AS synchro_old FOR EACH STATEMENT
    WHEN (pg_catalog.current_setting('synchro.capture', true) IS DISTINCT FROM 'off')
    EXECUTE FUNCTION "public"."synchro_capture_unique_2c25518c"();
CREATE OR REPLACE TRIGGER "synchro_capture_truncate"
    BEFORE TRUNCATE ON "capture_unique" FOR EACH STATEMENT
    WHEN (pg_catalog.current_setting('synchro.capture', true) IS DISTINCT FROM 'off')
    EXECUTE FUNCTION "public"."synchro_capture_unique_2c25518c"();
COMMIT;
