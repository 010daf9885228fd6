from models.document import Picture, Section, Table, html_page, markdown

SECTION = Section(
    "Figures <1>",
    ("a < b",),
    (Table("caption", ("name", "value"), (("a|b", "1\n2"),)),),
    (Picture("a picture", "<svg></svg>"),),
)


def test_a_page_escapes_text_and_needs_no_other_file():
    page = html_page("报告 & more", [SECTION])
    assert "<h2>Figures &lt;1&gt;</h2>" in page
    assert "<title>报告 &amp; more</title>" in page
    assert 'src="data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="' in page
    assert "http" not in page


def test_no_cell_breaks_a_markdown_table():
    lines = markdown(SECTION).splitlines()
    assert "| a\\|b | 1 2 |" in lines
    assert "| --- | --- |" in lines
    assert lines[-1].startswith("![a picture](data:image/svg+xml;base64,")
