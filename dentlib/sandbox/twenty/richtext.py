"""RICH_TEXT: a note body kept as BlockNote JSON and as markdown, each derived from the other.

Given as blocknote the text is kept character for character and the markdown repeats it with blank lines between;
given as markdown it is read again, so `* x` becomes a list item and single line breaks stay inside one paragraph.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import orjson

from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.refusals import Json, invalid_args
from dentlib.sandbox.twenty.versions import NEWEST, RELEASES, Release

_PROPS: Json = {"backgroundColor": "default", "textColor": "default", "textAlignment": "left"}
_BULLET = re.compile(r"\s{0,3}[-*+]\s+(.*)")
_NUMBERED = re.compile(r"\s{0,3}\d{1,9}[.)]\s+(.*)")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.*?)\s*#*")
_INLINE = re.compile(r"\*\*(.+?)\*\*|__(.+?)__|(?<![\w*])\*(?!\s)(.+?)(?<!\s)\*(?!\w)|~~(.+?)~~|`(.+?)`", re.DOTALL)
_STYLES = ("bold", "bold", "italic", "strike", "code")
_DANGEROUS = ("javascript:", "vbscript:", "data:")


def coerce_parts(parts: Json, path: str, of: Release = RELEASES[NEWEST]) -> Json:
    """Check the blocknote text and derive the part that was not sent."""
    out = dict(parts)
    if out.get("blocknote") and not of.older_blocks:
        _refuse_dangerous(out["blocknote"], path)
    if out.get("blocknote") and of.older_blocks:
        out["blocknote"] = _compact(out["blocknote"])
    if "markdown" in out and "blocknote" not in out:
        out["blocknote"] = blocks_text(out["markdown"], older=of.older_blocks) if out["markdown"] else None
    elif "blocknote" in out and "markdown" not in out:
        out["markdown"] = markdown_of(out["blocknote"], older=of.older_blocks) if out["blocknote"] else None
    return out


def _refuse_dangerous(blocknote: str, path: str) -> None:
    try:
        blocks = orjson.loads(blocknote)
    except orjson.JSONDecodeError:
        blocks = None
    if not isinstance(blocks, list):
        raise invalid_args(f'Invalid blocknote content for field "{path}.blocknote"', "Invalid value for JSON.")
    if ":" in blocknote and any(href.strip().lower().startswith(_DANGEROUS) for href in _hrefs(blocks)):
        raise invalid_args(f'Dangerous URL protocol in blocknote content for field "{path}.blocknote"')


def _hrefs(node: Any) -> list[str]:
    if isinstance(node, list):
        return [href for item in node for href in _hrefs(item)]
    if not isinstance(node, dict):
        return []
    found = [node[key] for key in ("href", "url") if isinstance(node.get(key), str)]
    return found + [href for value in node.values() if isinstance(value, (list, dict)) for href in _hrefs(value)]


def _compact(blocknote: str) -> str:
    try:
        return orjson.dumps(orjson.loads(blocknote)).decode()
    except orjson.JSONDecodeError:
        return blocknote


def markdown_of(blocknote: str, *, older: bool = False) -> str:
    """Derive markdown from blocks: one block per paragraph, blank lines between, a line break at the end."""
    blocks = orjson.loads(blocknote)
    lines: list[str] = []
    previous = ""
    for block in blocks:
        kind = block.get("type", "paragraph") if isinstance(block, dict) else "paragraph"
        body = _inline_markdown(block.get("content")) if isinstance(block, dict) else ""
        if older:
            body = " ".join(body.split())
            if not body:
                continue
        prefix = {"bulletListItem": "* ", "numberedListItem": "1. ", "checkListItem": "* [ ] "}.get(kind, "")
        if kind == "heading":
            prefix = "#" * int(block.get("props", {}).get("level", 1)) + " "
        if lines and not (prefix and kind == previous and kind != "heading"):
            lines.append("")
        lines.append(prefix + body)
        previous = kind
    return "\n".join(lines) + "\n" if lines else ""


def _inline_markdown(content: Any) -> str:
    if isinstance(content, str):
        return content
    out = []
    for item in content if isinstance(content, list) else []:
        if item.get("type") == "link":
            href = str(item.get("href", ""))
            safe = "" if href.strip().lower().startswith(_DANGEROUS) else href
            out.append(f"[{_inline_markdown(item.get('content'))}]({safe})")
            continue
        words, styles = item.get("text", ""), item.get("styles") or {}
        for style, mark in (("code", "`"), ("strike", "~~"), ("italic", "*"), ("bold", "**")):
            if styles.get(style) and words.strip():
                words = f"{mark}{words}{mark}"
        out.append(words)
    return "".join(out)


def blocks_text(markdown: str, *, older: bool = False) -> str:
    """Read markdown into BlockNote JSON; headings, lists, paragraphs, and loosely what HTML there is.

    `older`: as an older BlockNote does, which drops HTML and joins the lines of a paragraph with blanks.
    """
    if re.match(r"\s*<(p|ul|ol|h[1-6]|div)\b", markdown, re.IGNORECASE):
        if older:
            return _written([_block("paragraph", [])], older)
        reader = _HtmlBlocks()
        reader.feed(markdown)
        reader.close()
        return orjson.dumps(reader.finish()).decode()
    blocks: list[Json] = []
    paragraph: list[str] = []

    def flush() -> None:
        if paragraph:
            blocks.append(
                _block("paragraph", _inline((" " if older else "\n ").join(map(str.strip, paragraph)), older))
            )
            paragraph.clear()

    for line in markdown.split("\n"):
        heading, bullet, numbered = _HEADING.fullmatch(line), _BULLET.fullmatch(line), _NUMBERED.fullmatch(line)
        if not line.strip():
            flush()
        elif heading:
            flush()
            extra = {"level": min(len(heading[1]), 3), "isToggleable": False}
            blocks.append(_block("heading", _inline(heading[2], older), extra))
        elif bullet or numbered:
            flush()
            item = bullet or numbered
            assert item is not None
            blocks.append(_block("bulletListItem" if bullet else "numberedListItem", _inline(item[1], older)))
        else:
            paragraph.append(line)
    flush()
    return _written(blocks, older)


def _written(blocks: list[Json], older: bool) -> str:
    for block in blocks if older else ():
        kept = {key: block["props"][key] for key in ("textColor", "backgroundColor", "textAlignment")}
        block["props"] = {**kept, **({"level": block["props"]["level"]} if "level" in block["props"] else {})}
    return orjson.dumps(blocks).decode()


def _block(kind: str, content: list[Json], extra: Json | None = None) -> Json:
    return {"id": new_id(), "type": kind, "props": {**_PROPS, **(extra or {})}, "content": content, "children": []}


def _inline(words: str, older: bool = False) -> list[Json]:
    words = words if older else re.sub(r"<(script|style)\b.*?</\1>", "", words, flags=re.IGNORECASE | re.DOTALL)
    words = re.sub(r"</?[a-z][^<>]*>", "", words, flags=re.IGNORECASE)
    out: list[Json] = []
    at = 0
    for found in _INLINE.finditer(words):
        if found.start() > at:
            out.append({"type": "text", "text": words[at : found.start()], "styles": {}})
        which = next(index for index, group in enumerate(found.groups()) if group is not None)
        out.append({"type": "text", "text": found.groups()[which], "styles": {_STYLES[which]: True}})
        at = found.end()
    if at < len(words):
        out.append({"type": "text", "text": words[at:], "styles": {}})
    return out


class _HtmlBlocks(HTMLParser):
    """Collect paragraphs and list items from loose HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Json] = []
        self.content: list[Json] = []
        self.kind = "paragraph"
        self.styles: Json = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "div", "li") or re.fullmatch(r"h[1-6]", tag):
            self._flush()
            self.kind = {"li": "bulletListItem"}.get(tag, "heading" if tag[0] == "h" else "paragraph")
        elif tag in ("b", "strong", "i", "em"):
            self.styles = {**self.styles, "bold" if tag in ("b", "strong") else "italic": True}

    def handle_endtag(self, tag: str) -> None:
        if tag in ("b", "strong", "i", "em"):
            self.styles = {}
        elif tag in ("p", "div", "li") or re.fullmatch(r"h[1-6]", tag):
            self._flush()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.content.append({"type": "text", "text": data, "styles": dict(self.styles)})

    def _flush(self) -> None:
        if self.content:
            self.blocks.append(_block(self.kind, self.content))
            self.content = []
        self.kind = "paragraph"

    def finish(self) -> list[Json]:
        self._flush()
        return self.blocks
