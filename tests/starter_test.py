"""Unit tests that need the starter model's file, which only whole-system tests have: its vocabulary against the reference."""

import subprocess
import unittest

import support


class Starter(unittest.TestCase):
    def test_its_vocabulary_gives_the_reference_ids(self):
        gguf = next((support.HOME / "models" / support.starter()).glob("*.gguf"))
        done = subprocess.run([support.BUILD / "model_tests", "--gtest_filter=Starter.*"], cwd=support.ROOT, text=True, capture_output=True,
                              env=support.environment(LANDFALL_STARTER=str(gguf)), timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertIn("[  PASSED  ] 1 test.", done.stdout)
        self.assertNotIn("SKIPPED", done.stdout)


if __name__ == "__main__":
    unittest.main()
