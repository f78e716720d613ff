// SPDX-License-Identifier: Apache-2.0
// What kubectl needs of an API server to say /version, asking for a client's certificate as one does and refusing who
// shows none that is good; why it says on standard output: apiserver.js PKI-DIRECTORY PORT ADDRESS...
'use strict';
const fs = require('fs');
const https = require('https');

const [directory, port, ...addresses] = process.argv.slice(2);
const options = {
  cert: fs.readFileSync(`${directory}/apiserver.crt`),
  key: fs.readFileSync(`${directory}/apiserver.key`),
  ca: fs.readFileSync(`${directory}/ca.crt`),
  requestCert: true,
  rejectUnauthorized: false,
};
let waiting = addresses.length;
for (const address of addresses) {
  https.createServer(options, (request, response) => {
    response.setHeader('Content-Type', 'application/json');
    if (!request.socket.authorized) {
      console.log(`refused: ${request.socket.authorizationError}`);
      response.statusCode = 401;
      response.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Unauthorized', code: 401 }));
      return;
    }
    const subject = request.socket.getPeerCertificate().subject;
    response.end(JSON.stringify({ user: subject.CN, group: subject.O || '' }));
  }).listen(Number(port), address, () => { if (--waiting === 0) console.log('ready'); });
}
