"""The code in docs/clients.md."""

from emulator.function import ROOT

PAGE = (ROOT / "docs/clients.md").read_text()


def snippets(title: str, language: str) -> list[str]:
    """The code under a title."""
    return code(PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0], language)


def code(text: str, language: str) -> list[str]:
    """The code in a language in Markdown."""
    return [block.partition("\n```")[0] for block in text.split(f"```{language}\n")[1:]]
