"""A DNS server of this machine that says what a test wants said."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Records = dict[tuple[str, str], list[str]]
"""By name and type, the texts of records."""


@contextlib.contextmanager
def nameserver(records: Records) -> Iterator[str]:
    """``address:port`` of the server; ``records`` may change meanwhile."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, socket = self.request
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.AA
            (question,) = query.question
            name = question.name.to_text(omit_final_dot=True)
            texts = records.get((name, question.rdtype.name))
            if texts:
                found = dns.rrset.from_text(question.name, 1, "IN", question.rdtype, *texts)
                answer.answer.append(found)
            elif not any(known == name for known, _ in records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            socket.sendto(answer.to_wire(), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
