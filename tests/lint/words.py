#!/usr/bin/env python3
"""words.py FILE... - words and phrases that our text does not use, because plain technical English has a better one. Prints file:line for each hit; exit status 1
when there was one. A phrase is found across line breaks and the comment marks between them,
and a word also within a name with underscores."""
import re
import sys

# What lint refuses, whole words in any case, and what to write instead.
WORDS = {
    "foretell": "predict", "foretells": "predicts", "foretold": "predicted", "heed": "apply, respect", "heeds": "applies", "heeded": "applied", "whoever": "any caller",
    "learnt": "learned", "spelt": "written", "mend": "fix", "mended": "fixed", "for want of": "without, out of", "in vain": "without success", "slip of the pen": "typo",
    "meanwhile": "name the time, or drop it", "to be had": "available", "gives it away": "leaks the target", "goes together": "correlates", "go together": "correlate",
    "told back": "returned", "is told": "is reported", "are told": "are reported",
}
BETWEEN = r"[\s*#/\"\\_]+"
PATTERN = re.compile(r"(?<![A-Za-z0-9])(?:%s)(?![A-Za-z0-9])" % "|".join(BETWEEN.join(map(re.escape, words.split())) for words in WORDS), re.IGNORECASE)


def main():
    hits = 0
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            content = file.read()
        if b"\0" in content:
            continue  # not text
        text = content.decode("utf-8", "replace")
        for match in PATTERN.finditer(text):
            words = " ".join(re.split(BETWEEN, match.group().lower()))
            print("%s:%d: \"%s\": write %s" % (path, text.count("\n", 0, match.start()) + 1, words, WORDS[words]))
            hits += 1
    sys.exit(1 if hits else 0)


main()
