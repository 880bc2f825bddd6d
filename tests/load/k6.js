// The profile of locustfile.py for k6: k6 run -e BASE_URL=http://127.0.0.1:3000 tests/load/k6.js
// SCALE=0.1 takes a tenth of the time; API_KEY names a key that may read, where a login is asked.
import http from 'k6/http';
import { check, sleep } from 'k6';

const base = __ENV.BASE_URL || 'http://127.0.0.1:3000';
const scale = Number(__ENV.SCALE || 1);
const seconds = (whole) => `${Math.max(1, Math.round(whole * scale))}s`;
const headers = __ENV.API_KEY ? { Authorization: `Bearer ${__ENV.API_KEY}` } : {};

export const options = {
  stages: [
    { duration: seconds(120), target: 100 },
    { duration: seconds(300), target: 100 },
    { duration: seconds(120), target: 0 },
  ],
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(99)<500'],
  },
};

export function setup() {
  const found = http.get(`${base}/api/v1/instruments`, { headers });
  return found.json('data').map((instrument) => instrument.symbol);
}

export default function (symbols) {
  const paths = ['/health', '/api/v1/instruments', `/api/v1/instruments/${symbols[__VU % symbols.length]}/prices`];
  const answer = http.get(base + paths[__ITER % paths.length], { headers });
  check(answer, {
    'status is 200': (a) => a.status === 200,
    'answered within 500 ms': (a) => a.timings.duration < 500,
  });
  sleep(1);
}
