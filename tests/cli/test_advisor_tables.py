"""The page /advisor works with what the trainer goes by."""

import json

from cli.advisor_tables import FILE, built, tables
from retrain.recipe import RATES


def test_the_file_is_what_the_source_builds():
    assert FILE.read_text("utf-8") == built(), "run `make advisor`"


def test_the_tables_hold_the_recipe_every_model_and_every_task():
    found = json.loads(json.dumps(tables()))
    assert found["rates"]["lora"]["middle"] == RATES["lora"].middle
    assert (len(found["models"]), len(found["tasks"])) == (10, 8)
    assert set(found["fits"]) == set(found["models"])
    assert found["constants"]["LADDER"] == ["head", "partial", "lora", "full"]
