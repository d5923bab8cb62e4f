#!/usr/bin/env python3
"""keywords.py - refuses the keywords of C++ as names in C: clang-format takes them for what they are there and mangles the code around them
(`static void delete (struct request *r)`), and editors colour them. Words in comments and texts do not count."""
import re
import subprocess
import sys

KEYWORDS = """and and_eq bitand bitor catch class compl concept consteval constexpr constinit const_cast co_await co_return co_yield decltype delete
dynamic_cast explicit export friend mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public reinterpret_cast
requires static_cast template this throw try typeid typename using virtual wchar_t xor xor_eq""".split()
NAME = re.compile(r"\b(" + "|".join(KEYWORDS) + r")\b")
APART = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^[ \t]*#[ \t]*(?:include|error|pragma)[^\n]*', re.S | re.M)


def faults(text):
    """Line numbers and keywords of a C source."""
    code = APART.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    return [(code.count("\n", 0, match.start()) + 1, match.group()) for match in NAME.finditer(code)]


def main():
    assert faults('int x; /* delete */\n#include "new.h"\nchar *or = "not";\n') == [(3, "or")]
    found = 0
    for path in subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h", "*.def"], text=True).split():
        with open(path, encoding="utf-8", errors="replace") as file:
            for line, word in faults(file.read()):
                print(f"{path}:{line}: \"{word}\" is a keyword of C++; choose another name")
                found += 1
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
