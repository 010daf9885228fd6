from spark_jobs.jobs.tables import SCHEMAS
from spark_jobs.lake import SHOPPER_TABLES


def columns(schema: str) -> set[str]:
    return {column.split()[0] for column in schema.split(", ")}


def test_every_table_that_names_a_shopper_is_listed_with_its_column():
    naming = {table for table, schema in SCHEMAS.items() if "user_id" in columns(schema)}
    assert naming | {"user_day_tiles", "ledger", "training_rows"} == set(SHOPPER_TABLES)
    assert all(SHOPPER_TABLES[table] in columns(SCHEMAS[table]) for table in naming | {"user_day_tiles"})
