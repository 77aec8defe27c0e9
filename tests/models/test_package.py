import subprocess
import sys

import models


def test_every_name_is_there_and_importing_the_package_is_cheap():
    for name in models.__all__:
        assert getattr(models, name) is not None
    code = "import models, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
