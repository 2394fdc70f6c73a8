"""The options that choose rows of the history, and the filter that they make."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from typing import Any, get_args

import click

from ..storage.history import HistoryFilter
from ..storage.records import AnsweredBy
from ..storage.tables import STATUSES

AnyFunction = Callable[..., Any]
MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"])


def moments(command: AnyFunction) -> AnyFunction:
    """Give a command the options `since` and `until`, which arrive in UTC."""
    options = (
        click.option(
            "--to", "until", type=MOMENT, callback=_in_utc, metavar="TIME", help="Only recorded before this (UTC)."
        ),
        click.option(
            "--from", "since", type=MOMENT, callback=_in_utc, metavar="TIME", help="Only recorded then or later (UTC)."
        ),
    )
    return reduce(lambda decorated, option: option(decorated), options, command)


def filters(command: AnyFunction) -> AnyFunction:
    """Give a command the options that choose rows; they arrive as what `chosen_filter` takes."""
    options = (
        click.option("--answered-by", type=click.Choice(get_args(AnsweredBy)), help="Only rows translated by this."),
        click.option("--model", "model_version_id", metavar="ID", help="Only rows of this model version."),
        click.option("--lane", metavar="LANE", help="Only jobs of this lane."),
        click.option("--status", type=click.Choice(STATUSES), help="Only rows with this status."),
        click.option("-t", "--target", "target_language", metavar="LANG", help="Only this target language."),
        click.option("-s", "--source", "source_language", metavar="LANG", help="Only this source language."),
        click.option("--client", "client_id", metavar="ID", help="Only jobs of this client."),
    )
    return reduce(lambda decorated, option: option(decorated), options, moments(command))


def chosen_filter(**chosen: Any) -> HistoryFilter:
    """The filter of the options of `filters`."""
    return HistoryFilter(**chosen)


def _in_utc(context: click.Context, option: click.Parameter, value: datetime | None) -> datetime | None:  # noqa: ARG001
    return None if value is None else value.replace(tzinfo=UTC)
