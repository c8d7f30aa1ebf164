"""A name server whose answers a test changes while it runs."""

import contextlib
import socket
import threading
import time

from dnslib import (A, AAAA, CNAME, DNSRecord, QTYPE, RCODE, RR, SRV)

from support.ports import HOST

NXDOMAIN, SERVFAIL, REFUSED = RCODE.NXDOMAIN, RCODE.SERVFAIL, RCODE.REFUSED
EMPTY = ()
SILENT = object()  # no answer at all
GARBAGE = object()  # an answer that is none

_MAKERS = {"A": A, "AAAA": AAAA, "CNAME": CNAME, "SRV": lambda words: SRV(*words)}


class NameServer:
    """Listens on a port of 127.0.0.1, or where it is told to, over UDP and TCP. `records[name, type]` is a list of what the
    records hold, or one of the words above; a name without any does not exist. `ttl` is for all,
    `delay` the seconds before each answer, `asked` the (name, type) of every question."""

    def __init__(self, ttl=1, host=HOST, port=0):
        self.records = {}
        self.ttl = ttl
        self.delay = 0
        self.asked = []
        self._over_tcp = 0
        self._open = True
        self._lock = threading.Lock()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket()
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            self._udp.bind((host, port))
            self.port = self._udp.getsockname()[1]
            try:
                self._tcp.bind((host, self.port))
                break
            except OSError:
                if port:
                    raise
                self._udp.close()
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp.listen(16)
        self.address = f"{host}:{self.port}"
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def over_tcp(self):
        """How many questions came over TCP."""
        return self._over_tcp

    def say(self, name, **types):
        """Sets what there is of a name, in place of all before: say("a.test", A=["10.0.0.1"])."""
        with self._lock:
            for key in [k for k in self.records if k[0] == name]:
                del self.records[key]
            for kind, data in types.items():
                self.records[name, kind] = data

    def _answer(self, question):
        name = str(question.q.qname).rstrip(".").lower()
        kind = QTYPE[question.q.qtype]
        reply = question.reply()
        with self._lock:
            self.asked.append((name, kind))
            data = self.records.get((name, kind))
            exists = any(key[0] == name for key in self.records)
            alias = self.records.get((name, "CNAME"))
            if data is None and alias:
                reply.add_answer(RR(name, QTYPE.CNAME, ttl=self.ttl, rdata=CNAME(alias[0])))
                name, data = alias[0], self.records.get((alias[0], kind))
            ttl = self.ttl
        if data is SILENT:
            return None
        if data is GARBAGE:
            return reply.pack()[:2] + b"\x85\x80\0\1\xff\xff\0\0\0\0\xff\xff\xff\xff"
        if isinstance(data, int):
            reply.header.rcode = data
        elif data is None and not exists:
            reply.header.rcode = NXDOMAIN
        else:
            for one in data or ():
                reply.add_answer(RR(name, getattr(QTYPE, kind), ttl=ttl, rdata=_MAKERS[kind](one)))
        return reply

    def _handle(self, data, limit):
        question = DNSRecord.parse(data)
        reply = self._answer(question)
        if self.delay:
            time.sleep(self.delay)
        if reply is None or isinstance(reply, (bytes, bytearray)):
            return reply
        packed = reply.pack()
        if len(packed) > limit:
            short = question.reply()
            short.header.tc = 1
            packed = short.pack()
        return packed

    def _serve_udp(self):
        while self._open:
            try:
                data, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            if not data:
                return  # it is being closed
            threading.Thread(target=self._reply, args=(data, peer), daemon=True).start()

    def _reply(self, data, peer):
        packed = self._handle(data, 512)
        if packed is not None:
            with contextlib.suppress(OSError):
                self._udp.sendto(packed, peer)

    def _serve_tcp(self):
        while self._open:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection):
        with connection, contextlib.suppress(OSError), connection.makefile("rwb") as stream:
            while head := stream.read(2):
                self._over_tcp += 1
                packed = self._handle(stream.read(int.from_bytes(head, "big")), 65535)
                if packed is not None:
                    stream.write(len(packed).to_bytes(2, "big") + packed)
                    stream.flush()

    def close(self):
        """Ends it."""
        self._open = False
        for each in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
