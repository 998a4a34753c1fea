"""The arrows between rooms point one way: reads every #include "..." below src/ and compares it with the table. And a type's
name means one thing in all rooms."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"

# Who may include whom, beside itself. ARCHITECTURE.md explains the rooms.
MAY_INCLUDE = {
    "base": "",
    "tensor": "base",
    "model": "base tensor",
    "runtime": "base tensor model",
    "data": "base model",
    "train": "base tensor model data",
    "compress": "base tensor model data train",
    "privacy": "base tensor train",
    "server": "base model runtime",
    "export": "base tensor model",
    "lifecycle": "base data model runtime train compress",
    "apps": "base data model runtime train lifecycle",
    "cli": "base tensor model runtime data train compress privacy server export lifecycle apps",
}

# Model code moves no data: an architecture sees tensors as views and leaves every element to the operators.
ARCHITECTURES = "model/arch/"
TAKES_DATA = re.compile(r'#include "tensor/access\.h"|(\.|->)data\(')

# A type that a header defines, and the namespace of the header.
DEFINES = re.compile(r"^(?:struct|class|union|enum class) (\w+)[^;{]*\{", re.MULTILINE)
NAMESPACE = re.compile(r"^namespace ([\w:]+) \{", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def faults_in(path: str, text: str) -> list[str]:
    """The faults of one file; `path` is relative to src/."""
    room = path.split("/")[0]
    if room not in MAY_INCLUDE:
        return [f"src/{path}:1: {room}/ is not a room of the table in tests/layers_test.py"]
    allowed = {room, *MAY_INCLUDE[room].split()}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        place = f"src/{path}:{number}"
        if match := INCLUDE.match(line):
            target = match[1].split("/")[0]
            if "/" not in match[1] or target not in MAY_INCLUDE:
                faults.append(f'{place}: write "{match[1]}" from src/, as in "base/result.h"')
            elif target not in allowed:
                faults.append(f"{place}: {room} may not include {target}, only {' '.join(sorted(allowed))}")
        if path.startswith(ARCHITECTURES) and not path.endswith("_test.cpp") and TAKES_DATA.search(line):
            faults.append(f"{place}: an architecture takes no data pointer; make an operator for it")
    return faults


def defined_twice(texts: dict[str, str]) -> list[str]:
    """Types of one name in several headers: the linker takes the members of one for those of the other."""
    places = {}
    for path, text in sorted(texts.items()):
        for name in DEFINES.findall(text):
            places.setdefault("::".join([*NAMESPACE.findall(text)[:1], name]), []).append(path)
    return [f"{name} is defined in {' and '.join(paths)}" for name, paths in places.items() if len(set(paths)) > 1]


class Layers(unittest.TestCase):
    def test_a_name_means_one_type(self):
        texts = {p.relative_to(SOURCE).as_posix(): p.read_text() for p in SOURCE.rglob("*.h")}
        self.assertGreater(sum(len(DEFINES.findall(text)) for text in texts.values()), 200)
        self.assertEqual(defined_twice(texts), [])
        one, other = "namespace landfall {\nstruct A {\n};\n", "namespace landfall {\nclass A : B {\n};\nstruct C;\n"
        self.assertEqual(len(defined_twice({"base/a.h": one, "server/a.h": other})), 1)
        self.assertEqual(defined_twice({"base/a.h": one, "model/a.h": other.replace("landfall", "landfall::jinja")}), [])

    def test_no_file_includes_against_the_arrows(self):
        files = [p for p in SOURCE.rglob("*") if p.suffix in (".cpp", ".h", ".inc")]
        self.assertGreater(len(files), 5, "no source found")
        faults = [f for p in sorted(files) for f in faults_in(p.relative_to(SOURCE).as_posix(), p.read_text())]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_the_table_has_no_circle(self):
        done = set()
        while len(done) < len(MAY_INCLUDE):
            ready = {room for room, rooms in MAY_INCLUDE.items() if room not in done and set(rooms.split()) <= done}
            self.assertTrue(ready, f"a circle among {set(MAY_INCLUDE) - done}")
            done |= ready

    def test_each_kind_of_fault_is_found(self):
        self.assertEqual(faults_in("base/a.cpp", '#include "base/b.h"\n#include <vector>\n'), [])
        self.assertIn("src/base/a.cpp:2: base may not include tensor", faults_in("base/a.cpp", '\n#include "tensor/t.h"')[0])
        self.assertIn("from src/", faults_in("base/a.cpp", '#include "b.h"')[0])
        self.assertIn("not a room", faults_in("attic/a.cpp", "")[0])
        self.assertIn("no data pointer", faults_in("model/arch/a.cpp", '#include "tensor/access.h"')[0])
        self.assertIn("no data pointer", faults_in("model/arch/a.cpp", "float* p = x.data();")[0])
        self.assertEqual(faults_in("model/gguf.cpp", "s.data();"), [])


if __name__ == "__main__":
    unittest.main()
