"""A library's import of what it hardly needs is put off, and nothing else changes."""

import subprocess
import sys

SCRIPT = """
import sys
from paecli.system.deferred_import import deferred_import
with deferred_import("email.mime.text", "MIMEText"):
    from email.mime.text import MIMEText
assert "email.mime.text" not in sys.modules
assert MIMEText.__name__ == "MIMEText"  # imports it
assert "email.mime.text" in sys.modules
with deferred_import("email.mime.text", "MIMEText"):
    from email.mime.text import MIMEText as real
assert real is sys.modules["email.mime.text"].MIMEText
"""


def test_the_module_is_imported_once_it_is_used() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)


def test_a_model_loads_without_scipy_statistics_and_freia_still_finds_them() -> None:
    script = (
        "import sys\n"
        "from paecli import load\n"
        "load('fmnist-32').sample(1)\n"
        "slow = ('scipy.stats', 'sklearn', 'matplotlib', 'torchvision', 'accelerate')\n"
        "heavy = [name for name in slow if name in sys.modules]\n"
        "assert not heavy, heavy\n"
        "from FrEIA.modules import AllInOneBlock\n"
        "AllInOneBlock([(4,)], subnet_constructor=lambda a, b: None, permute_soft=True)\n"
        "import scipy.stats\n"
        "assert scipy.stats.special_ortho_group.rvs(2).shape == (2, 2)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
