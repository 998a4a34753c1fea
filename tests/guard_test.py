"""What bench/check.py calls slower, and that its baseline holds the kernels that are there."""

import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import check  # noqa: E402


class Guard(unittest.TestCase):
    def test_only_more_than_the_limit_is_slower(self):
        base = {"a": 1000, "b": 1000, "c": 1000, "gone": 1000}
        now = {"a": 1030, "b": 1031, "c": 500, "new": 9999}
        self.assertEqual(check.slower(now, base, 1.03), {"b": 1.031})

    def test_each_set_has_a_baseline_of_the_same_cases(self):
        sets = {kernels: set(part["cases"]) for kernels, part in json.loads(check.BASELINE.read_text()).items()}
        self.assertLessEqual({"scalar", "avx2", "avx512", "avx2 from memory"}, set(sets))
        self.assertGreater(len(sets["avx2"]), 30)
        self.assertEqual(sets["scalar"], sets["avx2"])
        self.assertLessEqual(sets["avx512"], sets["avx2"])  # grows on a machine that has these kernels
        self.assertGreater(len(sets["avx512"]), 30)


if __name__ == "__main__":
    unittest.main()
