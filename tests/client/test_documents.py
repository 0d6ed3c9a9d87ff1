"""Documents of every kind reach the API, each with the instruction after it."""

from __future__ import annotations

from meshflow_prefect import BatchRequest
from meshflow_prefect.documents import Documents
from tests.support import papers


async def test_every_kind_of_document_is_answered(client, tmp_path):
    (tmp_path / "a.txt").write_text("The lighthouse of Aden. [[reply when Which: Aden.]]")
    (tmp_path / "b.html").write_text("<p>The lighthouse of Bergen.</p>")
    (tmp_path / "c.pdf").write_bytes(papers.pdf())
    (tmp_path / "d.png").write_bytes(papers.image())
    (tmp_path / "e.docx").write_bytes(papers.word("The lighthouse of Oslo."))
    requests = [
        BatchRequest(
            f"doc-{n}", messages=[{"role": "user", "content": document.content("Which one?")}]
        )
        for n, document in enumerate(Documents.open(tmp_path))
    ]

    results = await client.run(requests, poll_interval=0.05)

    assert [result.status for result in results] == ["succeeded"] * 5
    assert results[0].output == "Aden."
    assert [place in results[n].output for n, place in ((1, "Bergen"), (4, "Oslo"))] == [True, True]
