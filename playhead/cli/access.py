"""Commands for access: orgs, members, tokens."""

from __future__ import annotations

from dataclasses import asdict

import click

from playhead.cli.options import json_option, org_option, print_json
from playhead.core.permissions import ROLES, SCOPES, MemberRole, Scope
from playhead.core.settings import load_settings
from playhead.postgres.access.tokens import Token
from playhead.services.context import open_services


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def orgs(context: click.Context, as_json: bool) -> None:
    """List all organisations. For operators."""
    if context.invoked_subcommand:
        return
    with open_services(load_settings()) as services:
        organisations = services.access.members.organisations()
    for organisation in organisations:
        if as_json:
            print_json(asdict(organisation))
        else:
            click.echo(
                f"{organisation.id}  {organisation.recordings} recordings, "
                f"{organisation.members} members"
            )
    if not organisations and not as_json:
        click.echo("No organisation yet: playhead orgs add ORG")


@orgs.command("add")
@click.argument("org")
def add_organisation(org: str) -> None:
    """Make ORG, which has nothing yet. The first `playhead add` into it does so too."""
    with open_services(load_settings()) as services:
        new = services.access.members.add_organisation(org)
    click.echo(f"{org} is there{' now' if new else ' already'}.")


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
    for member in everybody:
        print_json(asdict(member)) if as_json else click.echo(f"{member.name}  {member.role}")
    if not everybody and not as_json:
        click.echo("Nobody yet: playhead members add NAME")


@members.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="reader", show_default=True)
@org_option
def add_member(name: str, role: MemberRole, org: str | None) -> None:
    """Add NAME. A reader searches, an editor corrects and adds too, an owner manages all."""
    with open_services(load_settings()) as services:
        services.access.members.add(services.require_organisation(org), name, role)
    click.echo(f"{name} is {role}.")


@members.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@org_option
def change_role(name: str, role: MemberRole, org: str | None) -> None:
    """Make NAME reader, editor or owner. Their tokens can do no more than that from now on."""
    with open_services(load_settings()) as services:
        services.access.members.change(services.require_organisation(org), name, role)
    click.echo(f"{name} is {role}.")


@members.command("remove")
@click.argument("name")
@org_option
def remove_member(name: str, org: str | None) -> None:
    """Remove NAME and their tokens."""
    with open_services(load_settings()) as services:
        services.access.members.remove(services.require_organisation(org), name)
    click.echo(f"{name} is no member any more.")


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
    for token in known:
        print_json(asdict(token)) if as_json else click.echo(_line(token))
    if not known and not as_json:
        click.echo("No tokens yet: playhead tokens create MEMBER NAME")


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
    help="What it may do; may be given several times.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="Until when. [default: for good]")
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
    """Make a token that speaks for MEMBER; NAME says what it is for. It is shown this once."""
    with open_services(load_settings()) as services:
        made, text = services.access.tokens.create(
            services.require_organisation(org), member, name, scopes, days
        )
    if as_json:
        print_json(asdict(made) | {"token": text})
    else:
        click.echo(f"{_line(made)}\n{text}")


@tokens.command("revoke")
@click.argument("token_id")
@org_option
def revoke_token(token_id: str, org: str | None) -> None:
    """End a token at once, by its id."""
    with open_services(load_settings()) as services:
        services.access.tokens.revoke(services.require_organisation(org), token_id)
    click.echo(f"{token_id} opens nothing any more.")


def _line(token: Token) -> str:
    until = f", until {token.expires_at:%Y-%m-%d}" if token.expires_at else ""
    used = f", used {token.last_used_at:%Y-%m-%d}" if token.last_used_at else ""
    ended = ", revoked" if token.revoked_at else ""
    scopes = "+".join(token.scopes)
    return f"{token.id}  {token.member}: {token.name} ({scopes}){until}{used}{ended}"
