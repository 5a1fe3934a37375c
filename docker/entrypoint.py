"""Before any program of the image: secrets from files into the environment, Dagster's configuration into its home.

A secret is a file in ``/run/secrets`` whose name is the variable's. Dagster reads no variable inside a launcher's
``container_kwargs``, so ``dagster.yaml`` is a template here; a mount whose volume has no name is left out of it. The
program replaces this process: it is the one that gets the engine's signals.
"""

import os
import re
import sys
from pathlib import Path
from string import Template

SECRETS, TEMPLATE = Path("/run/secrets"), Path("/etc/archon/dagster.yaml")
_NO_VOLUME = re.compile(r'^ *- ":.*\n', re.MULTILINE)


def main() -> None:
    if SECRETS.is_dir():
        for file in SECRETS.iterdir():
            if file.is_file() and file.name.isupper():
                os.environ[file.name] = file.read_text().strip()
    home = Path(os.environ["DAGSTER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    try:
        text = _NO_VOLUME.sub("", Template(TEMPLATE.read_text()).substitute(os.environ))
    except KeyError as error:
        sys.exit(f"entrypoint: the variable {error.args[0]} is not set; see docker/compose.yaml")
    file = home / "dagster.yaml"
    if not file.exists() or file.read_text() != text:  # a command run beside the program must not disturb it
        file.write_text(text)
    if not sys.argv[1:]:
        sys.exit("entrypoint: no program was named")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
