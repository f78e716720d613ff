// SPDX-License-Identifier: Apache-2.0
// Node's verdict, by real handshakes on 127.0.0.1. The same lines and answers as judge.go, and with a list of
// revocations as a sixth word (or -); for a client's certificate the server is the one of argv[2] (certificate, key,
// authority).
'use strict';
const fs = require('fs');
const tls = require('tls');
const readline = require('readline');

const [serverCertificate, serverKey, serverAuthority] = process.argv.slice(2).map((path) => fs.readFileSync(path));

function handshake(server, client) {
  return new Promise((resolve, reject) => {
    const fail = (error) => { listener.close(); reject(error); };
    // Of a client it does not like Node says nothing before it ends the connection, so it is asked here.
    const listener = tls.createServer({ ...server, rejectUnauthorized: false }, (socket) => {
      if (server.requestCert && !socket.authorized) {
        fail(new Error(socket.authorizationError));
        socket.destroy();
      } else {
        socket.end('hello');
      }
    });
    listener.on('tlsClientError', fail);
    listener.listen(0, '127.0.0.1', () => {
      const socket = tls.connect({ ...client, host: '127.0.0.1', port: listener.address().port });
      let said = '';
      socket.on('data', (data) => { said += data; });
      socket.on('error', fail);
      socket.on('close', () => { listener.close(); said === 'hello' ? resolve() : reject(new Error('no answer')); });
    });
  });
}

function judge(authority, certificate, key, usage, name, list) {
  const crl = list && list !== '-' ? fs.readFileSync(list) : undefined;
  const ca = fs.readFileSync(authority), own = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
  if (usage === 'server') {
    return handshake(own, { ca, crl, checkServerIdentity: (host, peer) => tls.checkServerIdentity(name, peer) });
  }
  return handshake({ cert: serverCertificate, key: serverKey, ca, crl, requestCert: true },
    { ...own, ca: serverAuthority, checkServerIdentity: () => undefined });
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      await judge(...line.split(' '));
      console.log('yes');
    } catch (error) {
      console.log(`no ${error.message}`);
    }
  }
})();
