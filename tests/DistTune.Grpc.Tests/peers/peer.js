// gRPC over npm @grpc/grpc-js: `peer.js serve` prints its port; `peer.js check PORT` tries a server.
'use strict';
const assert = require('node:assert');
const path = require('node:path');
const modules = process.env.DISTTUNE_NODE_MODULES;
const grpc = require(path.join(modules, '@grpc/grpc-js'));
const loader = require(path.join(modules, '@grpc/proto-loader'));
const { Echo } = grpc.loadPackageDefinition(loader.loadSync(path.join(__dirname, 'echo.proto'))).disttune.test;
const BIG = 64 * 1024 * 1024;
const options = { 'grpc.max_receive_message_length': BIG + 1024, 'grpc.max_send_message_length': -1 };

function serve() {
  const server = new grpc.Server(options);
  server.addService(Echo.service, {
    Unary(call, done) {
      const trailers = new grpc.Metadata();
      for (const key of ['x-text', 'x-raw-bin']) call.metadata.get(key).forEach(value => trailers.add(key, value));
      done(null, call.request, trailers);
    },
    Collect(call, done) {
      const parts = [];
      call.on('data', message => parts.push(message.data));
      call.on('end', () => done(null, { data: Buffer.concat(parts) }));
    },
    Repeat(call) {
      for (let i = 0; i < call.request.count; i++) call.write({ data: call.request.data });
      call.end();
    },
    Chat(call) {
      call.on('data', message => call.write(message));
      call.on('end', () => call.end());
    },
    Fail(call, done) {
      const trailers = new grpc.Metadata();
      trailers.add('x-why', 'because');
      done({ code: grpc.status.FAILED_PRECONDITION, details: 'olmadı: %100', metadata: trailers });
    },
    Sleep() {},
  });
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(port);
  });
  process.stdin.resume();
  process.stdin.on('end', () => process.exit(0));
}

const within = seconds => ({ deadline: Date.now() + seconds * 1000 });
const collect = stream => new Promise((resolve, reject) => {
  const all = [];
  stream.on('data', m => all.push(m.data.toString()));
  stream.on('end', () => resolve(all));
  stream.on('error', reject);
});

async function check(port) {
  const client = new Echo(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), options);
  const call = (name, request, seconds = 10, metadata = new grpc.Metadata()) => new Promise(resolve => {
    let trailers;
    const started = client[name](request, metadata, within(seconds), (error, answer) => setImmediate(() => resolve({ error, answer, trailers })));
    started.on('status', status => { trailers = status.metadata; });
    call.last = started;
  });

  const metadata = new grpc.Metadata();
  metadata.add('x-text', 'tarla');
  metadata.add('x-raw-bin', Buffer.from([0, 255, 16]));
  const plain = await call('Unary', { data: Buffer.from('merhaba') }, 10, metadata);
  assert.strictEqual(plain.answer.data.toString(), 'merhaba');
  assert.deepStrictEqual([plain.trailers.get('x-text')[0], [...plain.trailers.get('x-raw-bin')[0]]], ['tarla', [0, 255, 16]]);
  console.log('ok unary');
  const collected = await new Promise((resolve, reject) => {
    const stream = client.Collect(within(10), (error, answer) => error ? reject(error) : resolve(answer.data.toString()));
    for (const part of ['a', 'b', 'c']) stream.write({ data: Buffer.from(part) });
    stream.end();
  });
  assert.strictEqual(collected, 'abc');
  console.log('ok client-stream');
  assert.deepStrictEqual(await collect(client.Repeat({ data: Buffer.from('x'), count: 5 }, within(10))), ['x', 'x', 'x', 'x', 'x']);
  console.log('ok server-stream');
  const chat = client.Chat(within(10));
  const chatted = collect(chat);
  chat.write({ data: Buffer.from('1') });
  chat.write({ data: Buffer.from('2') });
  chat.end();
  assert.deepStrictEqual(await chatted, ['1', '2']);
  console.log('ok duplex');
  const failed = (await call('Fail', {})).error;
  assert.deepStrictEqual([failed.code, failed.details, failed.metadata.get('x-why')[0]], [grpc.status.FAILED_PRECONDITION, 'olmadı: %100', 'because']);
  console.log('ok status');
  assert.strictEqual((await call('Sleep', {}, 0.3)).error.code, grpc.status.DEADLINE_EXCEEDED);
  console.log('ok deadline');
  const sleeping = call('Sleep', {});
  setTimeout(() => call.last.cancel(), 300);
  assert.strictEqual((await sleeping).error.code, grpc.status.CANCELLED);
  console.log('ok cancel');
  const big = Buffer.alloc(BIG, 'disttune');
  assert.ok((await call('Unary', { data: big }, 60)).answer.data.equals(big));
  console.log('ok 64MB');
  assert.strictEqual((await call('Unary', { data: Buffer.alloc(BIG + 4096) }, 60)).error.code, grpc.status.RESOURCE_EXHAUSTED);
  console.log('ok limit');
  client.close();
}

if (process.argv[2] === 'serve') serve();
else check(Number(process.argv[3])).catch(error => { console.error(error); process.exit(1); });
