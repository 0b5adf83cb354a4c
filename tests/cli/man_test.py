"""The man page documents the options of every command as --help prints them, and no others.

    man_test.py PROGRAM MAN_PAGE

A section of the page holds for the commands in its heading, for all, or for those that its first
sentences name: "Of *a* and *b*; *c* has *--x* and *--y* too." An entry that begins with (*a*) is
of that command alone.
"""

import pathlib
import re
import subprocess
import sys
import unittest

PROGRAM, PAGE = sys.argv[1:3]
del sys.argv[1:3]

OPTION = r"-{1,2}[a-z][\w-]*"


def help_of(*command):
    run = subprocess.run(
        [PROGRAM, *command, "--help"], capture_output=True, text=True, check=True, timeout=60)
    return run.stdout


def listed(text, heading):
    """What the lines under a heading of a help text begin with: "-h,--help", "model"."""
    block = re.search(rf"^{heading}:\n((?:  .*\n)+)", text, re.M)
    return re.findall(r"^  (\S+)", block[1], re.M) if block else []


def options_of(text):
    return {option for names in listed(text, "Options") for option in names.split(",")}


HELP = {command: help_of(command) for command in listed(help_of(), "Subcommands")}


def sections():
    """Heading and text of each section of the page."""
    parts = re.split(r"^# (.*)\n", pathlib.Path(PAGE).read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def entries(text):
    """The text before the first entry, then (first line, rest) of each."""
    parts = re.split(r"^(\*.*)\n(?=\t)", text, flags=re.M)
    return parts[0], list(zip(parts[1::2], parts[2::2]))


def starred(text, pattern):
    return re.findall(rf"\*({pattern})\*", text)


def documented():
    """The options and the number of operands of each command, by the page."""
    options = {command: set() for command in HELP}
    operands = {command: 0 for command in HELP}
    for heading, text in sections().items():
        if not heading.startswith("OPTIONS OF "):
            continue
        intro, items = entries(text)
        words = heading.removeprefix("OPTIONS OF ").lower().split(" and ")
        commands = list(HELP) if words == ["every command"] else [w for w in words if w in HELP]
        for clause in re.split(r"[;.]\s", intro):
            some = starred(clause, OPTION)
            for command in starred(clause, "[a-z]+"):
                if some:
                    options[command].update(some)
                else:
                    commands.append(command)
        if not commands:
            raise ValueError(f"{heading}: of which commands?")
        for head, body in items:
            only = re.match(r"\s*\(\*([a-z]+)\*\)", body)
            for command in [only[1]] if only else commands:
                options[command].update(starred(head, OPTION))
                operands[command] += len(starred(head, "[A-Z]+"))
    return options, operands


class Man(unittest.TestCase):
    maxDiff = None

    def test_commands(self):
        self.assertTrue(HELP)
        heads = [head for head, _ in entries(sections()["COMMANDS"])[1]]
        self.assertEqual(heads, [f"*{command}*" for command in HELP])
        synopsis = starred(sections()["SYNOPSIS"], "[a-z]+")
        self.assertEqual(sorted(set(synopsis) - {"strake"}), sorted(HELP))

    def test_options_of_every_command(self):
        options, _ = documented()
        for command, text in HELP.items():
            self.assertTrue(options_of(text), command)
            self.assertEqual(sorted(options[command]), sorted(options_of(text)), command)

    def test_operands(self):
        _, operands = documented()
        found = {command: len(listed(text, "Positionals")) for command, text in HELP.items()}
        self.assertEqual(operands, found)

    def test_options_of_the_program(self):
        known = options_of(help_of())
        self.assertIn("--version", known)
        told = set(starred(sections()["SYNOPSIS"] + sections()["OPTIONS OF EVERY COMMAND"], OPTION))
        self.assertLessEqual(known, told)

    def test_every_option_that_the_page_mentions(self):
        known = options_of(help_of()).union(*map(options_of, HELP.values()))
        ours = re.sub(r"^\tmpirun .*$", "", pathlib.Path(PAGE).read_text(), flags=re.M)
        mentioned = set(re.findall(rf"(?<![\w-])({OPTION})", ours))
        self.assertEqual(sorted(mentioned - known), [])


if __name__ == "__main__":
    unittest.main()
