"""Tables of the documentation that are made from the code, so that they cannot differ from it."""

from __future__ import annotations

import dataclasses
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import _results

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"^<!-- generated: ([a-z0-9-]+) -->$", re.MULTILINE)


def expand(text: str) -> str:
    """A page with every mark replaced by what it names.

    Raises
    ------
    KeyError
        If a mark names nothing that is known.
    """
    return MARK.sub(lambda mark: GENERATED[mark.group(1)](), text)


def expand_in_place(source: list[str]) -> None:
    """`expand` for the first of the texts that Sphinx hands around in a list."""
    source[0] = expand(source[0])


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _code(value: Any) -> str:
    return f"`{value}`" if value not in ("", None) else ""


def first_sentence(thing: Any) -> str:
    """The first sentence of a docstring."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", text)[0]


def described(thing: Any) -> dict[str, str]:
    """What the Parameters or Attributes section of a docstring says of each name."""
    text = inspect.getdoc(thing) or ""
    body = re.split(r"(?:Parameters|Attributes)\n-+\n", text, maxsplit=1)[1]
    body = re.split(r"\n\n\w+\n-+\n|\n\n(?=\S)", body, maxsplit=1)[0]
    out: dict[str, str] = {}
    names: list[str] = []
    for line in body.splitlines():
        if line and not line[0].isspace():
            names = [name.strip() for name in line.split(" : ")[0].split(",")]
            kind = line.partition(" : ")[2]
            out.update({name: f"({kind.removesuffix(', optional')})" for name in names})
        else:
            out.update({name: f"{out[name]} {line.strip()}" for name in names})
    return {name: _plain(re.sub(r"^\([^()]*(?:\([^()]*\)[^()]*)*\)\s*(?=\S)", "", said))
            for name, said in out.items()}  # fmt: skip


def _plain(text: str) -> str:
    return text.replace("``", "`").strip()


def settings(thing: Any, skip: Sequence[str] = ()) -> str:
    """Fields of a frozen configuration with their defaults and meaning."""
    said = described(thing)
    rows: list[list[str]] = []
    last = None
    for field in dataclasses.fields(thing):
        if field.name in skip:
            continue
        meaning = said.get(field.name) or _explained_elsewhere(field.name, said)
        shown = _shown_default(field)
        if meaning and meaning == last and not meaning.startswith("see `"):
            # the docstring explains several together
            rows[-1][0] += f", `{field.name}`"
            rows[-1][1] += f", {shown}"
            continue
        rows.append([f"`{field.name}`", shown, meaning])
        last = meaning
    return table(("setting", "default", "meaning"), rows)


def _explained_elsewhere(name: str, said: dict[str, str]) -> str:
    """A pointer to the setting whose explanation names this one."""
    return next((f"see `{other}`" for other, text in said.items() if f"`{name}`" in text), "")


def _shown_default(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default}`"
    return "see below" if field.default_factory is not dataclasses.MISSING else ""


def surveys() -> str:
    """What is read, under which name, by which document."""
    from starnet.surveys import SURVEYS

    rows = ((_code(s.name), s.title, f"<{s.source}>") for s in SURVEYS.values())
    return table(("name", "files", "format described in"), rows)


def mask_bits() -> str:
    """Every documented bit, and which of them are bad by default."""
    from starnet.surveys import SURVEYS

    kinds = {survey.bits.name: survey.bits for survey in SURVEYS.values() if survey.bits}
    return "\n\n".join(_bits(kind, SURVEYS.values()) for kind in kinds.values())


def _bits(bits: Any, surveys: Iterable[Any]) -> str:
    users = ", ".join(_code(survey.name) for survey in surveys if survey.bits is bits)

    def named(bad: bool) -> str:
        chosen = [f"{n} {name}" for n, name in bits.names.items() if (n in bits.default) is bad]
        return ", ".join(chosen) or "none"

    return (
        f"**{bits.name}** ({users}). {bits.reason}\n\n"
        f"- bad by default: {named(True)}\n- passed over: {named(False)}\n- source: {bits.source}"
    )


def labels() -> str:
    """Labels with unit and physical limits, elements in two rows."""
    from starnet.spectra import ELEMENTS, KNOWN

    elements = {f"{e.lower()}_{over}" for e in ELEMENTS for over in ("h", "fe")}
    plain = [spec for spec in KNOWN.values() if spec.name not in elements]
    rows = [(_code(s.name), s.unit, f"{s.physical[0]:g} to {s.physical[1]:g}") for s in plain]
    low, high = KNOWN["fe_h"].physical
    rows.append(("`fe_h`, `mg_h`, ... (any element)", "dex", f"{low:g} to {high:g}"))
    rows.append(("`mg_fe`, `si_fe`, ... (any element)", "dex", f"{low:g} to {high:g}"))
    return table(("name", "unit", "taken as missing outside"), rows)


def sentinels() -> str:
    """Numbers that stand for no value."""
    from starnet.spectra.labels import SENTINELS

    return "Sentinels: " + ", ".join(f"`{value:g}`" for value in sorted(SENTINELS)) + "."


def flags() -> str:
    """Bits of the flags of labels."""
    from starnet.inference import MEANINGS

    rows = ((bit.value, _code(bit.name), text) for bit, text in MEANINGS.items())
    return table(("bit value", "name", "meaning"), rows)


def dropped() -> str:
    """Why spectra, files and label rows are left out of a data set."""
    from starnet.dataset import REASONS

    return table(("reason in `dropped.csv`", "meaning"), REASONS.items())


def transforms() -> str:
    """Every transform with its first sentence and its parameters."""
    from starnet.preprocess import TRANSFORMS

    rows = []
    for name, kind in sorted(
        TRANSFORMS.items(), key=lambda item: (item[1].random is True, item[0])
    ):
        if name != "Pipeline":
            only = "training" if kind.random is True else "always"
            signature = [_parameter(field) for field in dataclasses.fields(kind)]
            rows.append((_code(name), _plain(first_sentence(kind)), ", ".join(signature), only))
    return table(("transform", "what it does", "parameters", "acts"), rows)


def _parameter(field: Any) -> str:
    known = field.default is not dataclasses.MISSING
    return f"`{field.name}={field.default!r}`" if known else f"`{field.name}`"


def recipes() -> str:
    """The recipes that come with the package."""
    from starnet.training import load_recipe, recipe_names

    found = {name: load_recipe(name) for name in recipe_names()}
    return table(("recipe", "what it is"), ((_code(n), r.about) for n, r in found.items()))


def recipe_2018() -> str:
    """The recipe of 2018 as it lies in the package."""
    text = (ROOT / "src" / "starnet" / "recipes" / "starnet-2018.yaml").read_text()
    return f"```yaml\n{text.strip()}\n```"


def training_settings() -> str:
    """Settings of `training` in a recipe."""
    from starnet.training import TrainingConfig

    return settings(TrainingConfig, skip=("seed",))


def recipe_settings() -> str:
    """Settings of a recipe but those of `training`."""
    from starnet.training import Recipe

    return settings(Recipe, skip=("name", "about"))


def network_settings() -> str:
    """Settings of the family `starnet`, less the sizes that the data fix."""
    from starnet.models import StarNetConfig

    return settings(StarNetConfig, skip=("n_pixels", "n_labels", "n_channels"))


def errors() -> str:
    """The tree of exceptions, as the module draws it."""
    import starnet.errors

    return f"```text\n{inspect.getdoc(starnet.errors)}\n```"


def layers() -> str:
    """The order of imports that import-linter holds the code to, highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (order,) = (c["layers"] for c in contracts if c["type"] == "layers")
    rooms = "\n".join(layer.replace("starnet.", "").replace(" | ", "   |   ") for layer in order)
    others = "\n".join(f"- {c['name']}." for c in contracts if c["type"] != "layers")
    return f"```text\n{rooms}\n```\n\nand besides:\n\n{others}"


def commands() -> list[tuple[str, Any]]:
    """Every command of the command line with its full name, `starnet dataset build` for one."""
    import typer

    from starnet.cli import app

    def walk(name: str, command: Any) -> Iterable[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
            return
        for part in inner.values():
            yield from walk(f"{name} {part.name}", part)

    return sorted(walk("starnet", typer.main.get_command(app)))


def command_line() -> str:
    """Every command with its arguments and options, from the commands themselves."""
    return "\n\n".join(_command(name, command) for name, command in commands())


def _command(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([name, *(_usage(a) for a in arguments), "[OPTIONS]" if options else ""])
    rows = [(_code(_usage(a)), "", a.help or "") for a in arguments]
    rows += [(", ".join(map(_code, o.opts)), _default(o), o.help or "") for o in options]
    said = inspect.cleandoc(command.help or "")
    body = table(("argument or option", "default", "meaning"), rows)
    return f"## {name}\n\n```text\n{usage.strip()}\n```\n\n{said}\n\n{body}"


def _usage(argument: Any) -> str:
    text = (argument.metavar or argument.name).upper() + ("..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    return _code(option.default) if option.default not in (None, "", False) else ""


GENERATED: dict[str, Callable[[], str]] = {
    "surveys": surveys,
    "mask-bits": mask_bits,
    "labels": labels,
    "sentinels": sentinels,
    "flags": flags,
    "dropped": dropped,
    "transforms": transforms,
    "recipes": recipes,
    "recipe-2018": recipe_2018,
    "training-settings": training_settings,
    "recipe-settings": recipe_settings,
    "network-settings": network_settings,
    "errors": errors,
    "layers": layers,
    "command-line": command_line,
    "results": _results.results,
    "physics-results": lambda: _results.summary("physics"),
    "errors-results": lambda: _results.summary("errors"),
    "errors-coverage": _results.coverage_of_errors,
    "errors-crps": _results.crps_of_methods,
}
