"""Other nodes hear of it, too, when tokens are told to expire."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("DROP TRIGGER note_edited ON tokens")
    op.execute(
        "CREATE TRIGGER note_edited AFTER UPDATE ON tokens FOR EACH ROW"
        " WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at"
        " OR OLD.expires_at IS DISTINCT FROM NEW.expires_at)"
        " EXECUTE FUNCTION note_change('tokens', 'id')"
    )
