import importlib
import pkgutil

import pytest

import engine
import monitor
import retrain
import server
import store
from server.problems import status_of
from store.errors import DriftgateError


def family(error: type[DriftgateError]) -> list[type[DriftgateError]]:
    return [error, *(below for child in error.__subclasses__() for below in family(child))]


@pytest.fixture(scope="module")
def errors() -> list[type[DriftgateError]]:
    for package in (store, engine, server, monitor, retrain):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations" not in module.name:  # alembic's own scripts run when they are imported
                importlib.import_module(module.name)
    return family(DriftgateError)[1:]


def test_every_error_has_a_status(errors):
    assert {status_of(error) for error in errors} <= {400, 401, 403, 404, 408, 409, 413, 422, 429, 499, 503, 504}


def test_every_error_has_a_slug_and_a_title_of_its_own(errors):
    assert len({error.kind for error in errors}) == len(errors)
    assert all(error.title != DriftgateError.title for error in errors)


def test_an_error_of_no_family_is_found_out():
    with pytest.raises(LookupError, match="DriftgateError"):
        status_of(DriftgateError)
