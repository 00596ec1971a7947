#!/usr/bin/python3
"""checks/uci.py FILE: does to a file of /etc/config what commands of OpenWrt's uci on the standard input say.

Knows `set PACKAGE.SECTION.OPTION=VALUE`, `add_list` and `del_list` with the same, and `commit PACKAGE`, for named
sections; fails where uci would: a section that is not there, an item that is not in the list.
"""
import re
import shlex
import sys


def main():
    path = sys.argv[1]
    with open(path) as file:
        lines = [shlex.split(line, comments=True) for line in file]
    sections, order = {}, []
    for words in filter(None, lines):
        if words[0] == "config":
            order.append(words[1:])
            section = sections.setdefault(words[2], [])
        else:
            section.append(tuple(words))
    commands = committed = 0
    for command in sys.stdin:
        words = shlex.split(command, comments=True)
        if words[:1] != ["uci"]:
            continue
        commands, committed = commands + 1, words[1:] == ["commit", "walbrook"]
        if committed:
            continue
        name, option, value = re.fullmatch(r"walbrook\.(\w+)\.(\w+)=(.*)", words[2]).groups()
        section = sections[name]
        if words[1] == "set":
            section[:] = [one for one in section if one[1] != option] + [("option", option, value)]
        elif words[1] == "add_list":
            section.append(("list", option, value))
        elif words[1] == "del_list":
            section.remove(("list", option, value))
        else:
            raise SystemExit(f"uci {words[1]} is not known here")
    if not (commands and committed):
        raise SystemExit("the commands do not end with a commit")
    with open(path, "w") as file:
        for kind, name in order:
            file.write(f"\nconfig {kind} '{name}'\n")
            for one, option, value in sections[name]:
                file.write(f"\t{one} {option} {shlex.quote(value)}\n")


main()
