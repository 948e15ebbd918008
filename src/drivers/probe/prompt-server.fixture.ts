import http from 'node:http';
import type { AddressInfo } from 'node:net';

const server = http.createServer((_request, response) => response.end('ok'));
server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
