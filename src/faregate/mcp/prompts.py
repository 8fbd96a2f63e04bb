"""The guides for assistants over the protocol. As prompts: the person picks one, and it begins the
conversation. As a tool: the assistant reads one by itself, because not all of them show prompts,
and a guide leads on to another.
"""

from __future__ import annotations

from typing import Any, Final

import mcp_types as types

from faregate.mcp.skills import SKILLS

_BY_NAME: Final = {skill.name: skill for skill in SKILLS}
READ_GUIDE: Final = types.Tool(
    name="read_guide",
    title="Read guide",
    description="Read how to go about something, before you begin with it.\n"
    + "\n".join(f"- {skill.name}: {skill.description}" for skill in SKILLS),
    input_schema={
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(_BY_NAME), "examples": ["billing-setup"]}
        },
        "required": ["name"],
        "additionalProperties": False,
    },
    annotations=types.ToolAnnotations(
        title="Read guide",
        read_only_hint=True,
        destructive_hint=False,
        idempotent_hint=True,
        open_world_hint=False,
    ),
)
"""The one tool that is no operation: it gives a text that is the same for everybody."""


def read_guide(arguments: dict[str, Any]) -> types.CallToolResult:
    """Return a guide as the answer of `READ_GUIDE`, or what is wrong with the call."""
    name = arguments.get("name")
    skill = _BY_NAME.get(name) if isinstance(name, str) else None
    is_wrong = skill is None or len(arguments) > 1
    if skill is None or is_wrong:
        text = f"read_guide takes `name` alone: one of {', '.join(_BY_NAME)}"
    else:
        text = skill.whole()
    content = types.TextContent(type="text", text=text)
    return types.CallToolResult(content=[content], is_error=is_wrong)


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
