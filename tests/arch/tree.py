"""The tree under check: which files it has, their text, and the includes of its C++ files. Read-only; nothing is cached on disk."""

import collections
import pathlib
import re
import subprocess

Finding = collections.namedtuple("Finding", "path line rule text")
Include = collections.namedtuple("Include", "line name is_system")

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")')
SKIPPED_FOLDERS = {".git", "build", ".cache", "__pycache__"}


class Tree:
    """All files that git tracks or would add; without git, all files outside of build folders."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.files = sorted(self._listed())
        self._texts = {}

    def _listed(self):
        command = ["git", "-C", str(self.root), "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False) if (self.root / ".git").exists() else None
        if listed is not None and listed.returncode == 0:
            return {path for path in listed.stdout.splitlines() if (self.root / path).is_file()}
        found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return {str(path) for path in found if not SKIPPED_FOLDERS.intersection(path.parts)}

    def with_suffix(self, *suffixes):
        return [path for path in self.files if path.endswith(suffixes)]

    def text(self, path):
        """The file's text; a file that is not UTF-8 has none."""
        if path not in self._texts:
            try:
                self._texts[path] = (self.root / path).read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                self._texts[path] = ""
        return self._texts[path]

    def lines(self, path):
        return self.text(path).splitlines()

    def includes(self, path):
        """Every #include of a C++ file, in order."""
        found = []
        for number, line in enumerate(self.lines(path), 1):
            match = INCLUDE.match(line)
            if match:
                found.append(Include(number, match.group(1) or match.group(2), match.group(1) is not None))
        return found
