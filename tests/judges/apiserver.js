// SPDX-License-Identifier: Apache-2.0
// What kubectl needs of an API server to say /version, demanding a client's
// certificate as one does: apiserver.js PKI-DIRECTORY PORT ADDRESS...
'use strict';
const fs = require('fs');
const https = require('https');

const [directory, port, ...addresses] = process.argv.slice(2);
const options = {
  cert: fs.readFileSync(`${directory}/apiserver.crt`),
  key: fs.readFileSync(`${directory}/apiserver.key`),
  ca: fs.readFileSync(`${directory}/ca.crt`),
  requestCert: true,
  rejectUnauthorized: true,
};
let waiting = addresses.length;
for (const address of addresses) {
  https.createServer(options, (request, response) => {
    const subject = request.socket.getPeerCertificate().subject;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ user: subject.CN, group: subject.O || '' }));
  }).listen(Number(port), address, () => { if (--waiting === 0) console.log('ready'); });
}
