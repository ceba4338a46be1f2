#!/usr/bin/env python3
"""The parts of a BitTorrent swarm that no package brings: a tracker, and a peer on libtorrent.

  bittorrent.py tracker                answers at port 6969 with everybody who has asked
  bittorrent.py seed|get TORRENT       a peer in this directory; it writes $HOST to $WHOLE once it has everything
"""
import os
import socket
import struct
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT = 6881


class Tracker(BaseHTTPRequestHandler):
    """Knows one swarm: each peer is told of all others, and asked to come back soon."""

    peers = set()

    def do_GET(self):
        asked = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query, encoding="latin-1")
        me = socket.inet_aton(self.client_address[0]) + struct.pack("!H", int(asked["port"][0]))
        others = b"".join(sorted(self.peers - {me}))
        self.peers.add(me)
        body = b"d8:intervali3e12:min intervali3e5:peers%d:%se" % (len(others), others)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def peer(role, file):
    import libtorrent

    session = libtorrent.session({
        "listen_interfaces": f"0.0.0.0:{PORT}", "enable_dht": False, "enable_lsd": True, "enable_upnp": False,
        "enable_natpmp": False, "enable_outgoing_utp": False, "enable_incoming_utp": False,
        "allow_multiple_connections_per_ip": True, "unchoke_slots_limit": 20, "alert_mask": 0,
        # Two that dial each other at once may both give up, and would wait for a minute.
        "min_reconnect_time": 1,
    })
    parameters = libtorrent.add_torrent_params()
    parameters.ti = libtorrent.torrent_info(file)
    parameters.save_path = "."
    flags = libtorrent.torrent_flags
    parameters.flags &= ~(flags.auto_managed | flags.paused)
    if role == "seed":
        parameters.flags |= flags.seed_mode
    handle = session.add_torrent(parameters)
    while not handle.status().is_seeding:
        time.sleep(0.05)
    if role == "get":
        with open(os.environ["WHOLE"], "w", encoding="ascii") as whole:
            print(os.environ["HOST"], file=whole)
    while True:
        time.sleep(60)


if sys.argv[1] == "tracker":
    HTTPServer(("", 6969), Tracker).serve_forever()
else:
    peer(*sys.argv[1:3])
