"""The guides for assistants as prompts of the protocol: an assistant's user picks one, and it
begins the conversation.
"""

from __future__ import annotations

from typing import Final

import mcp_types as types

from faregate.mcp.skills import SKILLS

_BY_NAME: Final = {skill.name: skill for skill in SKILLS}


def prompts() -> list[types.Prompt]:
    """Return what there is to ask for, as the protocol lists it."""
    about = types.PromptArgument(
        name="about",
        description="What the person has said so far of their product or their wish, if anything.",
        required=False,
    )
    return [
        types.Prompt(
            name=skill.name,
            title=skill.name.replace("-", " ").capitalize(),
            description=skill.description,
            arguments=[about],
        )
        for skill in SKILLS
    ]


def prompt(name: str, arguments: dict[str, str]) -> types.GetPromptResult | None:
    """Return a guide as the protocol gives it, or None if there is no such one. What the person
    has said comes after the guide, as a message of their own."""
    skill = _BY_NAME.get(name)
    if skill is None:
        return None
    texts = [skill.whole()]
    if about := arguments.get("about", "").strip():
        texts.append(about)
    return types.GetPromptResult(
        description=skill.description,
        messages=[
            types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
            for text in texts
        ],
    )
