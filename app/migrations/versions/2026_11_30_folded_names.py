"""Names as they are searched: width, spaces, case, radicals and 〇/○ make no difference."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# As app/domain/texts.py had them; a test compares.
FROM = (
    "〇◯•・‧∙⋅–—―‐‑−⺁⺎⺑⺒⺓⺕⺜⺝⺟⺠⺩⺬⺮⺶⺷⺼⺽⻁⻄⻅⻆⻉⻊⻋⻑⻓⻔"
    "⻗⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻧⻨⻩⻪⻬⻮⻰⻳abcdefghijklmnopqrst"
    "uvwxyz \t\r\n"
)
TO = (
    "○○·····------厂兀尢巳幺彐日月母民王示竹羊羊肉臼虎西见角贝足车長长门"
    "雨青韦页风飞食马骨鬼鱼鸟卤麦黄黾齐齿龙龟ABCDEFGHIJKLMNOPQRST"
    "UVWXYZ"
)


def upgrade() -> None:
    """Apply."""
    folded = f"translate(NORMALIZE(name, NFKC), '{FROM}'::text, '{TO}'::text)"
    op.add_column(
        "account", sa.Column("name_folded", sa.Text(), sa.Computed(folded, persisted=True))
    )


def downgrade() -> None:
    """Take back."""
    op.drop_column("account", "name_folded")
