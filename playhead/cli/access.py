"""Commands for access: orgs, members, tokens."""

from __future__ import annotations

from dataclasses import asdict

import click

from playhead.cli.options import json_option, org_option
from playhead.cli.output import emit, print_json
from playhead.core.permissions import ROLES, SCOPES, MemberRole, Scope
from playhead.core.settings import load_settings
from playhead.postgres.access.tokens import Token
from playhead.services.context import open_services


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def orgs(context: click.Context, as_json: bool) -> None:
    """List all organisations, for operators."""
    if context.invoked_subcommand:
        return
    with open_services(load_settings()) as services:
        organisations = services.access.members.organisations()
    emit(
        organisations,
        as_json=as_json,
        text=lambda row: f"{row.id}  {row.recordings} recordings, {row.members} members",
        empty="No organisations yet: playhead orgs add ORG",
    )


@orgs.command("add")
@click.argument("org")
def add_organisation(org: str) -> None:
    """Create the organisation ORG. The first `playhead add` to it creates it, too."""
    with open_services(load_settings()) as services:
        new = services.access.members.add_organisation(org)
    click.echo(f"Created {org}." if new else f"{org} already exists.")


@click.group(invoke_without_command=True)
@org_option
@json_option
@click.pass_context
def members(context: click.Context, org: str | None, as_json: bool) -> None:
    """List the organisation's members with their roles: reader, editor or owner."""
    if context.invoked_subcommand:
        return
    with open_services(load_settings()) as services:
        everybody = services.access.members.all(services.require_organisation(org))
    emit(
        everybody,
        as_json=as_json,
        text=lambda member: f"{member.name}  {member.role}",
        empty="No members yet: playhead members add NAME",
    )


@members.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="reader", show_default=True)
@org_option
def add_member(name: str, role: MemberRole, org: str | None) -> None:
    """Add the member NAME. Readers search; editors also add and correct; owners manage all."""
    with open_services(load_settings()) as services:
        services.access.members.add(services.require_organisation(org), name, role)
    click.echo(f"{name} is {role}.")


@members.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@org_option
def change_role(name: str, role: MemberRole, org: str | None) -> None:
    """Change the role of NAME to reader, editor or owner. It limits their tokens at once."""
    with open_services(load_settings()) as services:
        services.access.members.change(services.require_organisation(org), name, role)
    click.echo(f"{name} is {role}.")


@members.command("remove")
@click.argument("name")
@org_option
def remove_member(name: str, org: str | None) -> None:
    """Remove the member NAME and their tokens."""
    with open_services(load_settings()) as services:
        services.access.members.remove(services.require_organisation(org), name)
    click.echo(f"Removed {name}.")


@click.group(invoke_without_command=True)
@org_option
@json_option
@click.pass_context
def tokens(context: click.Context, org: str | None, as_json: bool) -> None:
    """List the organisation's API tokens with member, purpose and expiry."""
    if context.invoked_subcommand:
        return
    with open_services(load_settings()) as services:
        known = services.access.tokens.all(services.require_organisation(org))
    emit(
        known,
        as_json=as_json,
        text=_line,
        empty="No tokens yet: playhead tokens create MEMBER NAME",
    )


@tokens.command("create")
@click.argument("member")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("read",),
    show_default=True,
    help="What the token may do. Repeat for several scopes.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Days until it expires. [default: never]"
)
@org_option
@json_option
def create_token(
    member: str,
    name: str,
    scopes: tuple[Scope, ...],
    days: int | None,
    org: str | None,
    as_json: bool,
) -> None:
    """Create an API token of MEMBER; NAME describes its purpose. It is shown only once."""
    with open_services(load_settings()) as services:
        token, secret = services.access.tokens.create(
            services.require_organisation(org), member, name, scopes, days
        )
    if as_json:
        print_json(asdict(token) | {"token": secret})
    else:
        click.echo(f"{_line(token)}\n{secret}")


@tokens.command("revoke")
@click.argument("token_id")
@org_option
def revoke_token(token_id: str, org: str | None) -> None:
    """Revoke a token by its id; it stops working at once."""
    with open_services(load_settings()) as services:
        services.access.tokens.revoke(services.require_organisation(org), token_id)
    click.echo(f"Token {token_id} revoked.")


def _line(token: Token) -> str:
    until = f", expires {token.expires_at:%Y-%m-%d}" if token.expires_at else ""
    used = f", last used {token.last_used_at:%Y-%m-%d}" if token.last_used_at else ""
    ended = ", revoked" if token.revoked_at else ""
    scopes = "+".join(token.scopes)
    return f"{token.id}  {token.member}: {token.name} ({scopes}){until}{used}{ended}"
