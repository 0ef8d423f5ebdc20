"""Alarms: what a person must look at now."""

from __future__ import annotations

from pydantic import BaseModel

from service.http import door_models as models
from service.http.api import database, operation, operations
from service.http.door_models import AlarmPath, AlarmQuery
from service.http.problems import not_found
from service.operators import door_records
from service.operators.pages import FIRST
from service.operators.tokens import Scope


@operation("get", "/alarms", Scope.ALARMS_READ, models.AlarmPage)
def list_alarms(query: AlarmQuery) -> BaseModel:
    """Alarms, the newest first."""
    with database().transaction() as conn:
        page = door_records.list_alarms(
            conn, waiting=query.waiting, after=query.after or FIRST, limit=query.limit
        )
    return models.AlarmPage.model_validate(page)


@operation("post", "/alarms/<alarm>/acknowledge", Scope.ALARMS_WRITE, None)
def acknowledge_alarm(path: AlarmPath) -> None:
    """Say that somebody looks after an alarm; 404 where somebody said so before."""
    if not operations().acknowledge_alarm(path.alarm):
        raise not_found()
