"""Renders the cases of chat_template_cases.py with Jinja and writes tests/data/text/chat_template.json.

Made with jinja2 3.1.6 on Python 3.11: the immutable sandbox with trim_blocks, lstrip_blocks, loop
controls, a tojson that is json.dumps without ASCII and HTML escapes, raise_exception, strftime_now
at a fixed time, and {% generation %} blocks that only render what they contain.

    python scripts/goldens/chat_template.py
"""

import datetime
import json
import pathlib

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chat_template_cases import CASES, CONTEXTS

NOW = datetime.datetime(2025, 7, 4, 13, 5, 9)


class Raised(Exception):
    """raise_exception() in a template."""


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def raise_exception(message):
    raise Raised(message)


def environment():
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                         extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


def render(template, variables):
    try:
        text = environment().from_string(template).render(**variables)
        text.encode()
        return {"text": text}
    except Raised as raised:
        return {"raised": str(raised)}
    except Exception as error:  # any failure of Jinja must be one of ours
        return {"error": f"{type(error).__name__}: {error}"[:100]}


def main():
    assert jinja2.__version__ == "3.1.6"
    templates, cases = [], []
    for group, entries in CASES.items():
        for entry in entries:
            context, template = ("plain", entry) if isinstance(entry, str) else entry
            if template not in templates:
                templates.append(template)
            result = render(template, CONTEXTS[context])
            assert " at 0x" not in result.get("text", ""), template
            cases.append({"group": group, "context": context,
                          "template": templates.index(template), **result})
    data = {"contexts": CONTEXTS, "templates": templates, "cases": cases}
    path = pathlib.Path(__file__).parents[2] / "tests/data/text/chat_template.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'"contexts": {json.dumps(CONTEXTS, ensure_ascii=False)}',
             '"templates": [\n' + ",\n".join(json.dumps(t, ensure_ascii=False) for t in templates) + "]",
             '"cases": [\n' + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "]"]
    path.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == data
    outcomes = [next(k for k in ("text", "raised", "error") if k in c) for c in cases]
    print(len(cases), "cases:", {k: outcomes.count(k) for k in set(outcomes)})


if __name__ == "__main__":
    main()
