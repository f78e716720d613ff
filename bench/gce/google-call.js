// SPDX-License-Identifier: Apache-2.0
// One change by Google's own client library for Node.js, waited for: what a script has that runs a process for each call.
//   node google-call.js VERB PATH [BODY]     PATH below the project, as in the API
'use strict';
const fs = require('fs');
const compute = require('@google-cloud/compute');
const {OAuth2Client} = require('google-auth-library');

const project = process.env.HACTL_GCE_PROJECT;
// By collection: the client, and the name of its parameter for an object.
const clients = {
    addresses: ['AddressesClient', 'address'],
    backendServices: ['RegionBackendServicesClient', 'backendService'],
    forwardingRules: ['ForwardingRulesClient', 'forwardingRule'],
    healthChecks: ['RegionHealthChecksClient', 'healthCheck'],
    instanceGroups: ['InstanceGroupsClient', 'instanceGroup'],
    instances: ['InstancesClient', 'instance'],
};
const bodies = {
    addInstances: 'instanceGroupsAddInstancesRequestResource',
    addAccessConfig: 'accessConfigResource',
    setMetadata: 'metadataResource',
};

function options() {
    const endpoint = new URL(process.env.GCE_EMULATOR);
    const authClient = new OAuth2Client();
    authClient.setCredentials({
        access_token: fs.readFileSync(process.env.HACTL_GCE_TOKEN_FILE, 'utf8').trim(),
        expiry_date: Date.now() + 3600000,
    });
    return {apiEndpoint: endpoint.hostname, port: Number(endpoint.port), protocol: 'http', fallback: true, authClient};
}

async function finish(operation, scope) {
    const client = scope.zone ? new compute.ZoneOperationsClient(options()) : new compute.RegionOperationsClient(options());
    while (operation.status !== 'DONE')
        [operation] = await client.wait({project, ...scope, operation: operation.name});
    if (operation.error && operation.error.errors.length > 0) throw new Error(operation.error.errors[0].message);
}

async function main(verb, path, body) {
    const [where, query] = path.split('?');
    const [scopes, place, collection, name, action] = where.split('/');
    const scope = {[scopes.slice(0, -1)]: place};
    const [client, object] = clients[collection];
    const method = action || {POST: 'insert', PATCH: 'patch', DELETE: 'delete'}[verb];
    const request = {project, ...scope, ...Object.fromEntries(new URLSearchParams(query || ''))};
    if (name) request[object] = name;
    if (body) request[bodies[action] || `${object}Resource`] = JSON.parse(body);
    const [answer] = await new compute[client](options())[method](request);
    await finish(answer.latestResponse, scope);
}

main(...process.argv.slice(2)).catch((error) => {
    console.error(`google-call: ${process.argv[2]} ${process.argv[3]}: ${error.message}`);
    process.exit(1);
});
