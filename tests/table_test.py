"""Registration by file name: a file joins its folder's table by being there, and one without its symbol does not link."""

import pathlib
import subprocess
import tempfile
import unittest

import support

LISTS = """cmake_minimum_required(VERSION 3.22)
project(tables LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
list(APPEND CMAKE_MODULE_PATH {modules})
include(Rooms)
file(GLOB fruits CONFIGURE_DEPENDS fruits/*.cpp)
add_executable(program main.cpp ${{fruits}})
target_include_directories(program PRIVATE .)
landfall_table(program ${{CMAKE_SOURCE_DIR}}/fruits fruit.h Fruit)
"""
HEADER = """#pragma once
#include <span>
namespace landfall {
struct Fruit { const char* name; };
std::span<const Fruit* const> fruits_table();
}
"""
MAIN = """#include <cstdio>
#include "fruit.h"
int main() { for (const auto* fruit : landfall::fruits_table()) std::puts(fruit->name); }
"""


def fruit(symbol: str) -> str:
    return f'#include "fruit.h"\nnamespace landfall {{ extern const Fruit {symbol}; const Fruit {symbol} = {{"{symbol}"}}; }}\n'


class Table(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "fruits").mkdir()
        self.write("CMakeLists.txt", LISTS.format(modules=support.ROOT / "cmake"))
        self.write("fruit.h", HEADER)
        self.write("main.cpp", MAIN)
        self.write("fruits/apple.cpp", fruit("k_apple"))

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def build(self) -> subprocess.CompletedProcess:
        self.run_in("cmake", "-G", "Ninja", "-S", ".", "-B", "build", check=True)
        return self.run_in("cmake", "--build", "build", "--target", "program")

    def assert_builds(self) -> None:
        done = self.build()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def run_in(self, *command: str, check: bool = False) -> subprocess.CompletedProcess:
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=300, check=check)

    def test_a_new_file_joins_the_table(self):
        self.assert_builds()
        self.write("fruits/pear.cpp", fruit("k_pear"))
        self.assert_builds()
        self.assertEqual(self.run_in("build/program").stdout, "k_apple\nk_pear\n")

    def test_a_file_without_its_symbol_does_not_link(self):
        self.write("fruits/pear.cpp", fruit("k_peer"))
        done = self.build()
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"undefined reference to `landfall::k_pear'")


if __name__ == "__main__":
    unittest.main()
