"""Which revision this version needs, told without Alembic."""

from alembic.config import Config
from alembic.script import ScriptDirectory
from dragoman.storage.revision import VERSIONS, head_revision


def test_the_head_is_the_one_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    assert head_revision() == ScriptDirectory.from_config(config).get_current_head()
