// Which answers may be given twice. Run by nginx (njs) for each request; `configuration.py` beside this file says where.
//
// Only those of requests that say temperature 0 themselves, and say it once: two readers must not differ about it. A prompt
// may hold any text, so the body is read as JSON and never searched for what it asks; a search only ever says no.

import crypto from 'crypto';

const PATHS = ['/v1/chat/completions', '/v1/completions'];
const LONGEST = 1048576;  // Bytes of a body: reading more would hold up the streams of the same worker.
const ONCE = /"temperature"[ \t\r\n]*:[ \t\r\n]*0(?:\.0+)?[ \t\r\n]*[,}]/;
const SPELLED = /\\u00(?:6[15dD]|7[0245])/;  // Escapes of the letters of `temperature`, by which a second one could hide.
const RESULTS = ['hit', 'miss', 'expired', 'bypass'];

function saysZero(text) {
    let asked;
    try {
        asked = JSON.parse(text);
    } catch (e) {
        return false;
    }
    if (asked === null || typeof asked !== 'object' || Array.isArray(asked)) {
        return false;
    }
    const streams = asked.stream !== undefined && asked.stream !== null && asked.stream !== false;
    const once = text.split('"temperature"').length === 2 && ONCE.test(text) && !SPELLED.test(text);
    return asked.temperature === 0 && !streams && once;
}

function clientOf(r) {
    const said = r.rawHeadersIn.filter((header) => header[0].toLowerCase() === 'x-deepseek-client');
    return said.length === 1 ? said[0][1] : '';
}

// The name of the answer among all; empty: it is not to be kept. A SHA-256, since nginx writes it beside the answer.
function nameOf(r) {
    const client = clientOf(r), length = Number(r.headersIn['Content-Length']), headers = r.headersIn;
    if (r.method !== 'POST' || !PATHS.includes(r.variables.request_uri) || !client || !(length <= LONGEST)) {
        return '';
    }
    if (headers['Content-Encoding'] || headers['Cache-Control'] || headers['Range'] || !saysZero(r.requestText)) {
        return '';
    }
    const asker = JSON.stringify([r.variables.revision, client, r.method, r.variables.request_uri]);
    return crypto.createHash('sha256').update(asker).update('\n').update(r.requestBuffer).digest('hex');
}

function answer(r) {
    r.variables.answer = nameOf(r);
    r.internalRedirect(r.variables.answer ? '@kept' : '@passed');
}

function count(r) {
    const result = (r.variables.upstream_cache_status || 'BYPASS').toLowerCase();
    ngx.shared.counts.incr(result, 1, 0);
}

function metrics(r) {
    const name = 'deepseek_cache_requests_total';
    const lines = RESULTS.map((result) => `${name}{result="${result}"} ${ngx.shared.counts.get(result) || 0}\n`);
    r.headersOut['Content-Type'] = 'text/plain; version=0.0.4';
    r.return(200, `# HELP ${name} Requests by what they met at the cache.\n# TYPE ${name} counter\n${lines.join('')}`);
}

export default {answer, count, metrics};
