// SPDX-License-Identifier: Apache-2.0
// Google's own client library for Node.js against the emulator; google-client.test runs it. Speaks TAP.
'use strict';
const fs = require('fs');
const compute = require('@google-cloud/compute');
const {OAuth2Client} = require('google-auth-library');

const endpoint = new URL(process.env.GCE_EMULATOR);
const project = 'emulated', zone = 'us-central1-b', region = 'us-central1';
let count = 0, failed = 0;

function options() {
    const authClient = new OAuth2Client();
    authClient.setCredentials({
        access_token: fs.readFileSync(process.env.HACTL_GCE_TOKEN_FILE, 'utf8').trim(),
        expiry_date: Date.now() + 3600000,
    });
    return {apiEndpoint: endpoint.hostname, port: Number(endpoint.port), protocol: 'http', fallback: true, authClient};
}

function check(name, good, why) {
    count++;
    failed += good ? 0 : 1;
    console.log(`${good ? 'ok' : 'not ok'} ${count} - ${name}`);
    if (!good) console.log(`# ${why}`);
}

async function attempt(name, work) {
    try {
        const result = await work();
        check(name, result === undefined || result === true, `got ${JSON.stringify(result)}`);
    } catch (error) {
        check(name, false, String(error.stack || error).split('\n').join('\n# '));
    }
}

const zoneOperations = new compute.ZoneOperationsClient(options());
const regionOperations = new compute.RegionOperationsClient(options());

async function finish(answer) {
    let operation = answer.latestResponse;
    while (operation.status !== 'DONE') {
        [operation] = operation.zone
            ? await zoneOperations.wait({project, zone, operation: operation.name})
            : await regionOperations.wait({project, region, operation: operation.name});
    }
    if (operation.error && operation.error.errors.length > 0) throw new Error(operation.error.errors[0].code);
    return operation;
}

async function main() {
    const instances = new compute.InstancesClient(options());
    const addresses = new compute.AddressesClient(options());
    const rules = new compute.ForwardingRulesClient(options());
    const services = new compute.RegionBackendServicesClient(options());
    const checks = new compute.RegionHealthChecksClient(options());
    const groups = new compute.InstanceGroupsClient(options());

    await attempt('an instance', async () => {
        const [answer] = await instances.insert({project, zone, instanceResource: {
            name: 'm1', machineType: `zones/${zone}/machineTypes/e2-small`, labels: {a: 'b'},
            disks: [{boot: true, autoDelete: true,
                initializeParams: {sourceImage: 'projects/debian-cloud/global/images/family/debian-12'}}],
            networkInterfaces: [{network: 'global/networks/default',
                accessConfigs: [{name: 'external-nat', type: 'ONE_TO_ONE_NAT'}]}],
        }});
        await finish(answer);
    });
    await attempt('get', async () => {
        const [instance] = await instances.get({project, zone, instance: 'm1'});
        return instance.status === 'RUNNING' && /^10\./.test(instance.networkInterfaces[0].networkIP) &&
            instance.labels.a === 'b';
    });
    await attempt('list with a filter, page by page', async () => {
        const names = [];
        for await (const instance of instances.listAsync({project, zone, filter: 'labels.a=b', maxResults: 1}))
            names.push(instance.name);
        return names.join() === 'm1';
    });
    await attempt('aggregatedList', async () => {
        const names = [];
        for await (const [, scoped] of instances.aggregatedListAsync({project}))
            for (const instance of scoped.instances || []) names.push(instance.name);
        return names.join() === 'm1';
    });
    await attempt('an address', async () => {
        await finish((await addresses.insert({project, region, addressResource: {name: 'ip'}}))[0]);
        const [address] = await addresses.get({project, region, address: 'ip'});
        return address.status === 'RESERVED';
    });
    await attempt('a load balancer', async () => {
        await finish((await checks.insert({project, region, healthCheckResource:
            {name: 'hc', type: 'TCP', tcpHealthCheck: {port: 443}}}))[0]);
        await finish((await groups.insert({project, zone, instanceGroupResource: {name: 'ig'}}))[0]);
        await finish((await groups.addInstances({project, zone, instanceGroup: 'ig',
            instanceGroupsAddInstancesRequestResource: {instances: [{instance: `zones/${zone}/instances/m1`}]}}))[0]);
        await finish((await services.insert({project, region, backendServiceResource: {name: 'bs',
            protocol: 'TCP', loadBalancingScheme: 'EXTERNAL', healthChecks: [`regions/${region}/healthChecks/hc`],
            backends: [{group: `https://www.googleapis.com/compute/v1/projects/${project}/zones/${zone}/instanceGroups/ig`}]}}))[0]);
        await finish((await rules.insert({project, region, forwardingRuleResource: {name: 'fr', portRange: '443',
            IPAddress: `regions/${region}/addresses/ip`,
            backendService: `regions/${region}/backendServices/bs`}}))[0]);
    });
    await attempt('getHealth', async () => {
        const [health] = await services.getHealth({project, region, backendService: 'bs',
            resourceGroupReferenceResource: {group: `zones/${zone}/instanceGroups/ig`}});
        return health.healthStatus[0].healthState === 'HEALTHY';
    });
    await attempt('an error is one that the library knows', async () => {
        try {
            await addresses.delete({project, region, address: 'ip'});
        } catch (error) {
            return /already being used by/.test(error.message);
        }
        return 'no error';
    });
    await attempt('a name that is not there', async () => {
        try {
            await instances.get({project, zone, instance: 'none'});
        } catch (error) {
            return /was not found/.test(error.message);
        }
        return 'no error';
    });
    await attempt('delete', async () => {
        await finish((await rules.delete({project, region, forwardingRule: 'fr'}))[0]);
        await finish((await instances.delete({project, zone, instance: 'm1'}))[0]);
    });
    console.log(`1..${count}`);
    process.exit(failed ? 1 : 0);
}

main();
