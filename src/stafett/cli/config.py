"""`stafett config`: every setting, its value and where it came from. Secrets are masked always."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from stafett import settings
from stafett.cli import printing


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config(*, as_json: bool) -> None:
    """Show every setting, its value and where it came from.

    Flags come first, then the environment, then .env, then stafett.toml, both in this folder.
    """
    described = settings.describe(settings.load({}, os.environ, Path.cwd()))
    if as_json:
        content = [
            {
                "name": spec.name,
                "variable": spec.variable,
                "value": value,
                "source": source,
                "description": spec.description,
            }
            for spec, value, source in described
        ]
        return printing.raw_json(json.dumps(content, indent=2, ensure_ascii=False).encode())
    return printing.table(
        ("setting", "value", "from", "what it is"),
        ((spec.variable, value, source, spec.description) for spec, value, source in described),
        empty="",
    )
