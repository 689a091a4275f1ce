#!/usr/bin/env python3
# Fills the roots of files and pillars, and the interface, into the template of a salt-master's configuration.
#
# Input:  TEMPLATE LIBRARY, two files; of the second, lines of `file-root FOLDER` and `pillar-root FOLDER` count, in their order.
# Output: the configuration. Lines that are not concerned stay as they are, comments included; where that cannot be done in the text as
#         it is written, the same settings without comments.
# Exit:   0; 1 where the template is none, why not on standard error.
import re
import sys

import yaml


class Unfit(Exception):
    """Why the template cannot be filled in."""


def meant(template, roots):
    """What the template says with the roots filled in."""
    try:
        said = yaml.safe_load(template)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Unfit("the template is no YAML" + (f" (line {mark.line + 1})" if mark else "")) from None
    if not isinstance(said, dict) or "file_roots" not in said:
        raise Unfit("the template has no 'file_roots'")
    for key, folders in roots.items():
        environments = said.setdefault(key, {})
        if not isinstance(environments, dict):
            raise Unfit(f"'{key}' of the template is no map of environments")
        environments["base"] = folders
    said["interface"] = "0.0.0.0"
    return said


def is_blank(line):
    return not line.strip() or line.lstrip().startswith("#")


def indent(line):
    return len(line) - len(line.lstrip(" "))


def block(lines, start, deeper_than):
    """The end of what belongs to the key before `start`, without the blank lines and comments that lead to the next one."""
    end = at = start
    while at < len(lines):
        line = lines[at]
        if not is_blank(line):
            is_item = indent(line) == deeper_than and line.lstrip().startswith("- ")
            if indent(line) <= deeper_than and not is_item:
                break
            end = at + 1
        at += 1
    return end


def with_roots(lines, key, folders):
    """The lines with this list as the environment `base` of a top-level key."""
    top = next((at for at, line in enumerate(lines) if re.match(rf"{key}\s*:\s*(#.*)?$", line)), None)
    if top is None and any(re.match(rf"['\"]?{key}['\"]?\s*:", line) for line in lines):
        return lines
    if top is None:
        return lines + [f"{key}:", "  base:"] + [f"    - {folder}" for folder in folders]
    end = block(lines, top + 1, 0)
    base = next((at for at in range(top + 1, end) if re.match(r"\s+base\s*:", lines[at])), None)
    if base is None:
        first = next((line for line in lines[top + 1 : end] if not is_blank(line)), "  ")
        pad = " " * indent(first)
        return lines[: top + 1] + [f"{pad}base:"] + [f"{pad}  - {folder}" for folder in folders] + lines[top + 1 :]
    pad = " " * indent(lines[base])
    last = block(lines, base + 1, indent(lines[base]))
    head = re.match(r"(\s+base\s*:)\s*(\[.*\])?\s*(#.*)?$", lines[base])
    if not head:
        return lines
    comments = [line for line in lines[base + 1 : last] if line.lstrip().startswith("#")]
    named = head.group(1) + (f" {head.group(3)}" if head.group(3) else "")
    return lines[:base] + [named] + comments + [f"{pad}  - {folder}" for folder in folders] + lines[last:]


def edited(template, roots):
    """The text with the roots and the interface written into it."""
    lines = template.splitlines()
    for key, folders in roots.items():
        lines = with_roots(lines, key, folders)
    at = next((at for at, line in enumerate(lines) if re.match(r"interface\s*:", line)), None)
    if at is None:
        lines.append("interface: 0.0.0.0")
    else:
        lines[at] = "interface: 0.0.0.0"
    return "\n".join(lines) + "\n"


def rendered(template, roots):
    wanted = meant(template, roots)
    text = edited(template, roots)
    try:
        if yaml.safe_load(text) == wanted:
            return text
    except yaml.YAMLError:
        pass
    return yaml.safe_dump(wanted, sort_keys=False, default_flow_style=False)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        template = file.read()
    roots = {"file_roots": [], "pillar_roots": []}
    with open(sys.argv[2], encoding="utf-8") as file:
        for line in file:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind in ("file-root", "pillar-root"):
                roots[kind.replace("-root", "_roots")].append(rest)
    sys.stdout.write(rendered(template, roots))


if __name__ == "__main__":
    try:
        main()
    except (Unfit, UnicodeDecodeError) as error:
        print(f"bldr: {error if isinstance(error, Unfit) else 'the template is no UTF-8'}", file=sys.stderr)
        sys.exit(1)
