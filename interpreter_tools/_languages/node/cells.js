// The cell runner of JavaScript and TypeScript: `node --expose-internals -e` with this file and the language. It speaks as "Cells" in
// docs/protocol.md says. V8's own mode for consoles runs the cells (`Runtime.evaluate` with `replMode`): `await` at the top, and `let`,
// `const` and `class` that stay and may be declared again. Acorn, which Node holds for its own console, finds what V8 does not take
// there: `import`, and the awaits that an interrupt must end.
'use strict';
{
  const load = require;
  const fs = require('fs');
  const inspector = require('inspector');
  const net = require('net');
  const path = require('path');
  const util = require('util');
  const vm = require('vm');
  const Module = require('module');
  const { Readable, Writable } = require('stream');
  const { pathToFileURL } = require('url');
  const acorn = require('internal/deps/acorn/acorn/dist/acorn');
  const told = process.emitWarning; // that this is internal, and that stripping types is experimental
  process.emitWarning = () => {};
  const { internalBinding } = require('internal/test/binding');
  const { runMicrotasks } = internalBinding('task_queue');
  const { startSigintWatchdog, stopSigintWatchdog, watchdogHasPendingSigint } = internalBinding('contextify');
  const language = process.argv[1];
  const importHere = (name, options) => import(name, options); // eslint-disable-line -- of `node -e`: it looks beside the directory
  const { setImmediate, setInterval, clearInterval, setTimeout } = globalThis; // a cell may replace them
  const { stringify, parse } = JSON;

  const NAME = '__interpreter_tools__'; // what rewritten code calls
  const PIECE = 32768; // bytes
  const HELD = 0x40000000; // in the length of a piece that may wait for the one behind it
  const MOST_FILES = 10000;
  const MOST_JSON = 1 << 20; // characters of a value that is told as data, too

  // ---- the conversation: pieces on one socket, written and, where the program must wait, read without the event loop

  // An interrupt can end what a cell calls of it, such as `display`, at every step: V8 looks for one where a function begins and where a
  // loop turns. So each step is noted in the statement that takes it, or right behind it without a call, and the next message first
  // finishes what was left.
  let socket, fd;
  const space = Buffer.alloc(65536);
  let arrived = 0; // bytes in there
  let unread = Buffer.alloc(0);
  let message = []; // pieces of the message that is coming
  const heard = []; // messages that were read while the program waited
  let leaving = []; // pieces of the message that goes
  let gone = 0; // of them
  let written = 0; // bytes of the next one
  let unanswered = 0; // pieces that the supervisor has not passed on yet
  const { readSync, writeSync, writevSync } = fs; // `writeSync` takes a step between its call of the kernel and its end, the others none

  const pause = new Int32Array(new SharedArrayBuffer(4));
  const rest = (error, tries) => {
    if (error.code === undefined) throw error; // no room is left on the stack
    if (error.code !== 'EAGAIN') process.reallyExit(0); // the supervisor is gone
    if (tries > 50) Atomics.wait(pause, 0, 0, 0.2);
  };

  const feed = (...data) => {
    const all = Buffer.concat([unread, space.subarray(0, arrived), ...data]);
    unread = all;
    arrived = 0;
    while (unread.length >= 4) {
      const length = unread.readUInt32LE(0) & 0x7fffffff;
      if (unread.length < 4 + length) return;
      const behind = unread.subarray(4 + length);
      if (length === 0) {
        unread = behind;
        unanswered--;
        continue;
      }
      const parts = [...message, unread.subarray(6, 4 + length)];
      const isWhole = !unread[5];
      const said = isWhole ? parse(Buffer.concat(parts).toString()) : undefined;
      unread = behind;
      message = isWhole ? [] : parts;
      if (isWhole) heard[heard.length] = said;
    }
  };

  const readMore = () => {
    for (let tries = 0; !arrived; tries++) {
      try {
        if ((arrived = readSync(fd, space, 0, space.length, null)) === 0) process.reallyExit(0);
      } catch (error) {
        rest(error, tries);
      }
    }
    feed();
  };

  const finish = () => {
    feed();
    for (let tries = 0; ; tries++) {
      while (unanswered > 0) readMore();
      if (gone === leaving.length) return;
      try {
        written += writevSync(fd, [leaving[gone].subarray(written)]);
        if (written === leaving[gone].length) {
          gone++;
          written = 0;
          unanswered++;
        }
      } catch (error) {
        rest(error, tries);
      }
    }
  };

  // Returns when the message has its place among the output. One that is held travels with what comes next, a
  // millisecond later at most.
  const send = (kind, content, held = 0) => {
    const body = Buffer.from(stringify(content));
    const pieces = [];
    for (let at = 0; at < body.length; at += PIECE) {
      const part = body.subarray(at, at + PIECE);
      const piece = Buffer.alloc(6 + part.length);
      piece.writeUInt32LE(2 + part.length + held, 0);
      piece.write(kind, 4);
      piece[5] = at + PIECE < body.length ? 1 : 0;
      part.copy(piece, 6);
      pieces.push(piece);
    }
    finish();
    leaving = pieces;
    gone = 0;
    finish();
    if (heard.length) setImmediate(listen);
  };

  // ---- results

  const isPlain = (value, left) => {
    if (value === null || ['string', 'boolean'].includes(typeof value)) return true;
    if (typeof value === 'number') return Number.isFinite(value);
    if (typeof value !== 'object' || util.types.isProxy(value) || --left.count < 0 || left.above.has(value)) return false;
    const prototype = Object.getPrototypeOf(value);
    if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return false;
    left.above.add(value);
    const plain = Object.values(Object.getOwnPropertyDescriptors(value)).every(
      (property) => !property.enumerable || ('value' in property && isPlain(property.value, left)));
    left.above.delete(value);
    return plain;
  };

  // Deno's and tslab's name for a method that returns representations by MIME type.
  const REPRESENTATIONS = Symbol.for('Jupyter.display');

  const encoded = (item) => (ArrayBuffer.isView(item) ? Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString('base64') : item);
  const bundleOf = (value) => {
    const data = {};
    const own = value !== null && ['object', 'function'].includes(typeof value) && !util.types.isProxy(value) && value[REPRESENTATIONS];
    if (typeof own === 'function') {
      for (const [mime, item] of Object.entries(own.call(value) ?? {})) data[mime] = encoded(item);
      if (Object.keys(data).length) return data;
    }
    if (typeof value === 'object' && value !== null && isPlain(value, { count: 20000, above: new Set() })) {
      const text = stringify(value);
      if (text.length <= MOST_JSON) data['application/json'] = value;
    }
    data['text/plain'] = util.inspect(value, { depth: 6, maxStringLength: 1 << 20 });
    return data;
  };

  const publish = (data, more = {}, held = 0) => send('d', { data, ...more }, held);
  const named = (options) => (options?.display_id === undefined ? {} : { id: String(options.display_id) });
  // The representations as they are, for `display({"text/html": "..."}, {raw: true})`.
  const shown = (value, options) => (options?.raw ? Object.fromEntries(Object.entries(value).map(([mime, item]) => [mime, encoded(item)])) : bundleOf(value));
  const display = (value, options) => publish(shown(value, options), named(options));
  Object.assign(display, {
    update: (id, value, options) => publish(shown(value, options), { id: String(id), update: true }),
    html: (text) => publish({ 'text/html': String(text) }),
    markdown: (text) => publish({ 'text/markdown': String(text) }),
    svg: (text) => publish({ 'image/svg+xml': String(text) }),
    json: (value) => publish({ 'application/json': value, 'text/plain': util.inspect(value) }),
    png: (bytes) => publish({ 'image/png': encoded(bytes) }),
    jpeg: (bytes) => publish({ 'image/jpeg': encoded(bytes) }),
    clear: (options) => { if (cell?.notebook) send('c', { event: 'clear', cell: cell.number, wait: Boolean(options?.wait) }); },
  });

  // ---- output: whole when `write` returns, so that it is there before what is told behind it

  const standard = {};
  const openOutput = () => {
    for (const name of ['stdout', 'stderr']) {
      standard[name] = process[name];
      standard[name]._handle?.setBlocking?.(true);
      standard[name]._final = (done) => done(); // which would shut the handle
    }
  };
  // An interrupt that ends a cell within `write` leaves a stream that would keep what is written for ever, and `end` one that takes no more.
  const mendOutput = () => {
    for (const stream of Object.values(standard)) {
      while (stream.writableCorked) stream.uncork();
      if (!stream.writable || stream.writableLength) stream._writableState = new Writable.WritableState({ decodeStrings: false, emitClose: false }, stream, true);
    }
  };
  const say = (text) => {
    const bytes = Buffer.from(text);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(2, bytes, at);
    } catch {} // a cell has closed it
  };

  // ---- input: the lines of stdin, asked for one by one

  let cell = null; // the cell that runs
  let stdin = null;
  const askForLine = (prompt, lines = 1) => send('c', { event: 'input', cell: cell.number, prompt: String(prompt ?? ''), password: false, lines });
  const MANY = 1000; // lines at once, where all are wanted

  const noInput = () => cell === null || !cell.stdin || cell.inputOver;

  const readLine = (prompt, lines = 1) => { // without the event loop; null at the end
    if (noInput()) return null;
    askForLine(prompt, lines);
    for (;;) {
      const at = heard.findIndex((said) => said.op === 'input');
      if (at >= 0) {
        const [said] = heard.splice(at, 1);
        if (said.eof) cell.inputOver = true;
        return said.eof ? null : lines === 1 || said.unended ? said.text : `${said.text}\n`;
      }
      readMore();
    }
  };

  const makeStdin = () => new Readable({
    read() {
      if (noInput()) this.push(null);
      else askForLine('', MANY);
    },
  });
  Object.defineProperty(process, 'stdin', { configurable: true, enumerable: true, get: () => (stdin ??= makeStdin()) });

  const answerInput = (said) => {
    if (said.eof && cell) cell.inputOver = true;
    stdin?.push(said.eof ? null : `${said.text}${said.unended ? '' : '\n'}`);
  };

  const isStdin = (file) => file === 0 || file === '/dev/stdin' || file === '/proc/self/fd/0';
  const readFileSync = fs.readFileSync;
  fs.readFileSync = (file, options) => {
    if (!isStdin(file)) return readFileSync(file, options);
    const lines = [];
    for (let some; (some = readLine('', MANY)) !== null; ) lines.push(some);
    const encoding = typeof options === 'string' ? options : options?.encoding;
    return encoding ? lines.join('') : Buffer.from(lines.join(''));
  };
  const prompt = (question = '') => {
    if (question && !cell?.notebook) standard.stdout.write(`${question} `);
    return readLine(question);
  };

  // ---- tools.js is put here

  // ---- interrupts: SIGINT ends what runs, and every await at the top of a cell

  class KeyboardInterrupt extends Error {
    name = 'KeyboardInterrupt';
  }
  class Exit { // what process.exit throws
    constructor(code) {
      this.code = code;
    }
  }
  const isInterrupt = (error) => error instanceof KeyboardInterrupt || error?.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED' ||
    (error?.code === 'ERR_INSPECTOR_COMMAND' && /(?:Execution was terminated|Internal error)$/.test(error.message));

  // SIGINT goes to a thread of Node's all the time, which ends the script that is watched, or keeps the signal for who looks. What
  // `process.on('SIGINT')` does instead takes effect between two scripts only, and is switched off and on around each.
  const takeSigint = () => {
    if (!watchdogHasPendingSigint()) return false;
    stopSigintWatchdog(); // which forgets the signal
    startSigintWatchdog();
    if (cell) cell.taken += 1;
    return true;
  };

  // The thread may be late, and so may another one that the kernel chose to run the handler. All that were sent are taken when none
  // waits in the kernel, each thread has slept since, and that thread sleeps.
  let taker; // the number of the thread
  const MOST_LOOKS = 500; // a program's own threads may never sleep
  const about = (name) => {
    try {
      return readFileSync(`/proc/self/${name}`, 'latin1');
    } catch {
      return ''; // the thread has ended, or a cell has taken every descriptor
    }
  };
  const threads = () => fs.readdirSync('/proc/self/task');
  const isAwake = (thread) => /\) [^S]/.test(about(`task/${thread}/stat`));
  const awaitSigint = () => {
    let awake;
    for (let looks = 0; looks < MOST_LOOKS; looks++) {
      if (!/^ShdPnd:.*[2367abef]$/m.test(about('status'))) {
        awake = (awake ?? threads().filter((thread) => Number(thread) !== process.pid)).filter(isAwake);
        if (!awake.length && !isAwake(taker)) return;
      }
      Atomics.wait(pause, 0, 0, 0.2);
    }
  };

  // What ends a child by SIGINT was sent to the whole group of processes: it is the cell that is interrupted, and no error of it.
  const processes = internalBinding('spawn_sync');
  const { spawn } = processes;
  processes.spawn = (options) => {
    const ended = spawn(options);
    if (ended.signal === 'SIGINT') awaitSigint();
    return ended;
  };
  const { Process } = internalBinding('process_wrap');
  const spawnBeside = Process.prototype.spawn;
  Process.prototype.spawn = function (...options) {
    const { onexit } = this;
    this.onexit = (code, signal) => {
      if (signal === 'SIGINT') awaitSigint();
      if (cell && takeSigint()) interrupt();
      return onexit.call(this, code, signal);
    };
    return spawnBeside.apply(this, options);
  };
  const LOOK = 15; // ms between two looks while a cell awaits something

  const inner = { step: undefined, taken: undefined };
  Object.defineProperty(globalThis, NAME, { value: inner });
  const stepping = new vm.Script(`${NAME}.step()`, { filename: NAME });
  // Throws when SIGINT came meanwhile, though it be a loop without an end.
  const watched = (step) => {
    const before = inner.step;
    inner.step = () => {
      if (takeSigint()) throw new KeyboardInterrupt(); // one that came before; from here on it ends the script
      return step();
    };
    try {
      return stepping.runInThisContext({ breakOnSigint: true, displayErrors: false });
    } catch (error) {
      if (error?.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw error;
      if (cell) cell.taken += 1;
      mendOutput(); // for what must be done at the end
      throw error;
    } finally {
      inner.step = before;
    }
  };

  // Wraps what a cell awaits: an interrupt rejects it, and what the cell does after it can be interrupted, too. A cell that was
  // ended within never goes on, though a part of it was left: it would be nobody's, and nothing could end it.
  inner.guard = (number, value) => new Promise((resolve, reject) => {
    const mine = cell;
    if (mine?.number !== number || mine.over) return undefined;
    mine.waits.add(reject);
    const settle = (how) => (result) => setImmediate(() => {
      if (mine.over || !mine.waits.delete(reject)) return;
      try {
        watched(() => {
          how(result);
          runMicrotasks();
        });
      } catch (error) {
        forgetCell(); // at once: its promise is garbage now
        if (!isInterrupt(error)) throw error;
        mine.end({ status: 'interrupted' });
      }
    });
    return Promise.resolve(value).then(settle(resolve), settle(reject));
  });

  // What a cell has asked for later runs when its time comes: an interrupt ends that as well, and then the cell that runs.
  const later = (callback) => (typeof callback !== 'function' ? callback : function (...values) {
    try {
      return watched(() => {
        callback.apply(this, values);
        runMicrotasks(); // what awaits it can be a loop without an end, too
      });
    } catch (error) {
      if (!isInterrupt(error)) throw error;
      if (cell) interrupt();
    }
  });
  const watchTimers = () => {
    for (const name of ['setTimeout', 'setInterval', 'setImmediate']) {
      const original = globalThis[name];
      const value = { [name](callback, ...values) { return original(later(callback), ...values); } }[name];
      globalThis[name] = require('timers')[name] = Object.defineProperties(value, Object.getOwnPropertyDescriptors(original));
    }
  };

  inner.iterate = (number, values) => {
    const iterator = values[Symbol.asyncIterator]?.() ?? values[Symbol.iterator]();
    return {
      [Symbol.asyncIterator]() { return this; },
      async next() {
        const { done, value } = await inner.guard(number, iterator.next());
        return { done, value: await value };
      },
      async return(value) { return (await iterator.return?.(value)) ?? { done: true, value }; },
    };
  };

  const interrupt = () => {
    send('c', { event: 'taken', cell: cell.number });
    const waits = [...cell.waits];
    cell.waits.clear();
    for (const reject of waits) reject(new KeyboardInterrupt());
    if (!waits.length) forgetCell();
    if (!waits.length) cell.end({ status: 'interrupted' });
  };

  // Node loses a signal that comes at the very end of a watched script. So the client says in words as well that it has sent one.
  let isSent = false;
  const interruptIsSent = ({ cell: number }) => {
    const mine = cell;
    isSent = true;
    if (mine?.number !== number) return;
    mine.told += 1;
    awaitSigint();
    if (!takeSigint() && mine.taken >= mine.told) return;
    mine.taken = Math.max(mine.taken, mine.told);
    interrupt();
  };

  // ---- modules

  const here = () => path.join(process.cwd(), 'cell.js');
  const isPath = (name) => /^\.{0,2}\//.test(name);
  const urlOf = (name) => new URL(name, pathToFileURL(here())).href; // which keeps `?again`, by which a module is loaded anew
  inner.import = async (name, asked) => {
    const given = String(name);
    const options = given.endsWith('.json') && !asked?.with ? { with: { type: 'json' } } : asked; // as compilers take imports of data
    if (isPath(given)) return importHere(urlOf(given), options);
    try {
      return await importHere(given, options);
    } catch (error) {
      if (error.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes(`'${given}'`)) throw error;
      let found;
      try {
        found = Module.createRequire(here()).resolve(given); // `import` knows no NODE_PATH
      } catch {
        throw error;
      }
      return importHere(pathToFileURL(found).href, options);
    }
  };
  inner.meta = {
    get url() { return pathToFileURL(here()).href; },
    get filename() { return here(); },
    get dirname() { return process.cwd(); },
    resolve: (name) => (isPath(name) ? urlOf(name) : pathToFileURL(Module.createRequire(here()).resolve(name)).href),
  };

  // ---- from the code of a cell to what V8 evaluates

  const ASSERTED = /^((?:[^\n]*;)?[ \t]*(?:import|export)\b[^;'"]*?\bfrom\s*(['"])[^'"\n]*\2\s*)assert(\s*\{\s*['"]?type\b)/gm; // of Node.js 17 to 21
  const BINDINGS = { ImportDefaultSpecifier: () => 'default', ImportSpecifier: ({ imported }) => imported.value ?? imported.name };
  const rewriteImport = (node) => {
    const attributes = node.attributes?.map(({ key, value }) => `${stringify(key.value ?? key.name)}: ${value.raw}`).join(', ');
    const loaded = `await ${NAME}.guard(${cell.number}, ${NAME}.import(${node.source.raw}${attributes ? `, { with: { ${attributes} } }` : ''}))`;
    const whole = node.specifiers.find(({ type }) => type === 'ImportNamespaceSpecifier');
    const names = node.specifiers.filter((specifier) => specifier !== whole)
      .map((specifier) => `${stringify(BINDINGS[specifier.type](specifier))}: ${specifier.local.name}`);
    if (!whole) return names.length ? `let { ${names.join(', ')} } = ${loaded};` : `void ${loaded};`;
    const rest = names.length ? `, { ${names.join(', ')} } = ${whole.local.name}` : '';
    return `let ${whole.local.name} = ${loaded}${rest};`;
  };

  // All that a cell declares becomes lexical, as V8 takes only that again in a later cell: functions are evaluated first, each as a
  // value in its place, and `var` gives way to names that are declared ahead. Returns the edits, and the names.
  const declarations = (code, tree) => {
    const edits = [];
    const hoisted = []; // functions at the top
    const names = new Set();
    const bind = (pattern) => {
      if (pattern.type === 'Identifier') names.add(pattern.name);
      else if (pattern.type === 'ObjectPattern') pattern.properties.forEach((each) => bind(each.value ?? each.argument));
      else if (pattern.type === 'ArrayPattern') pattern.elements.forEach((each) => each && bind(each));
      else bind(pattern.left ?? pattern.argument);
    };
    const varOf = (node, above) => {
      const inHead = above.type.startsWith('For') && node !== above.body;
      const stands = ['Program', 'BlockStatement', 'SwitchCase', 'ExportNamedDeclaration'].includes(above.type);
      edits.push([node.start, node.start + 'var'.length, stands ? ';' : ' ']);
      for (const { id, init } of node.declarations) {
        bind(id);
        if (init && id.type !== 'Identifier') edits.push([id.start, id.start, '('], [init.end, init.end, ')']);
        else if (!init && !(inHead && above.type !== 'ForStatement')) edits.push([id.start, id.end, 'void 0']);
      }
    };
    const visit = (node, above) => {
      if (Array.isArray(node)) return node.forEach((each) => visit(each, above));
      if (typeof node?.type !== 'string') return undefined;
      if (node.type === 'VariableDeclaration' && node.kind === 'var') varOf(node, above);
      if (/Function|PropertyDefinition|StaticBlock/.test(node.type)) return undefined;
      return Object.values(node).forEach((value) => typeof value === 'object' && visit(value, node));
    };
    for (const each of tree.body) {
      const node = /^Export(?:Named|Default)Declaration$/.test(each.type) && each.declaration ? each.declaration : each;
      if (node.type === 'FunctionDeclaration' && node.id) hoisted.push(node);
    }
    visit(tree.body, tree);
    return { edits, hoisted, names: [...names] };
  };

  const rewrite = (code, tree) => {
    const { edits, hoisted, names } = declarations(code, tree); // [start, end, text]
    const visit = (node, inFunction, above) => {
      if (Array.isArray(node)) return node.forEach((each) => visit(each, inFunction, node));
      if (typeof node?.type !== 'string') return undefined;
      if (node.type === 'ImportDeclaration') return edits.push([node.start, node.end, rewriteImport(node)]);
      if (node.type === 'ExportAllDeclaration') return edits.push([node.start, node.end, `void await ${NAME}.import(${node.source.raw});`]);
      if (node.type === 'ExportNamedDeclaration') {
        if (node.declaration) edits.push([node.start, node.declaration.start, '']);
        else edits.push([node.start, node.end, node.source ? `void await ${NAME}.import(${node.source.raw});` : '']);
      } else if (node.type === 'ExportDefaultDeclaration') {
        edits.push([node.start, node.declaration.start, node.declaration.id ? '' : 'void ']);
      } else if (node.type === 'ImportExpression') {
        edits.push([node.start, node.start + 'import'.length, `${NAME}.import`]);
      } else if (node.type === 'MetaProperty' && node.meta.name === 'import') {
        edits.push([node.start, node.end, `${NAME}.meta`]);
      } else if (node.type === 'AwaitExpression' && !inFunction) {
        edits.push([node.argument.start, node.argument.start, `${NAME}.guard(${cell.number}, (`], [node.argument.end, node.argument.end, '))']);
      } else if (node.type === 'ForOfStatement' && node.await && !inFunction) {
        edits.push([node.right.start, node.right.start, `${NAME}.iterate(${cell.number}, (`], [node.right.end, node.right.end, '))']);
      } else if (node.type === 'VariableDeclaration' && node.kind === 'const' && above === tree.body) {
        edits.push([node.start, node.start + 'const'.length, 'let']);
      }
      const within = inFunction || /Function|PropertyDefinition|StaticBlock/.test(node.type);
      return Object.entries(node).forEach(([key, value]) => typeof value === 'object' && key !== 'source' && visit(value, within, key === 'declaration' ? above : node));
    };
    visit(tree.body, false, tree);
    edits.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const isHoisted = ([start, end]) => hoisted.some((node) => node.start <= start && end <= node.end);
    const blank = (text) => text.replace(/[^\n]/g, ' ');
    const edited = (start, end, chosen) => {
      let at = start;
      let text = '';
      for (const [first, last, instead] of chosen) {
        const lines = code.slice(first, last).split('\n').length - 1; // places of errors stay in their lines
        text += code.slice(at, first) + instead + '\n'.repeat(lines);
        at = last;
      }
      return text + code.slice(at, end);
    };
    let functions = '';
    let at = 0;
    for (const node of hoisted) {
      const { start, end, id } = node;
      functions += `${blank(code.slice(at, start))}let ${id.name} = ${edited(start, id.start, [])}${edited(id.end, end, edits.filter(isHoisted).filter(([first, last]) => node.start <= first && last <= end))};`;
      at = end;
    }
    const blanks = hoisted.map(({ start, end }) => [start, end, ';']);
    const rest = [...edits.filter((edit) => !isHoisted(edit)), ...blanks].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    return { functions, names, code: edited(0, code.length, rest) };
  };

  const PARSED = { ecmaVersion: 'latest', allowAwaitOutsideFunction: true, allowImportExportEverywhere: true, allowHashBang: true, locations: true };
  const parsed = (code) => {
    if (/^\s*\{/.test(code) && !/;\s*$/.test(code)) { // an object where that is possible, as in consoles
      try {
        const asValue = `(${code}\n)`;
        return { code: asValue, tree: acorn.parse(asValue, PARSED) };
      } catch {}
    }
    return { code, tree: acorn.parse(code, PARSED) };
  };

  // Returns what to evaluate, and whether its value is shown: that of a last expression is. Acorn's error is kept for its place.
  const prepare = (source) => {
    try {
      const { code, tree } = parsed(source);
      const last = tree.body.at(-1);
      return { ...rewrite(code, tree), shows: last?.type === 'ExpressionStatement' && last.directive !== 'use strict' };
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return { functions: '', names: [], code: source, shows: true, error };
    }
  };

  // ---- TypeScript

  // Decorators come in two kinds that look the same where they are used; functions of the standard's kind take a context.
  const standardDecorators = /\w*DecoratorContext\b|\bcontext\.(?:name|kind|addInitializer|metadata)\b/;
  let compiler;
  const compile = (source) => {
    if (!compiler) {
      const places = ['/usr/local/lib/node_modules/typescript', '/usr/lib/node_modules/typescript', '/usr/share/nodejs/typescript'];
      const place = places.find((candidate) => fs.existsSync(candidate));
      if (!place) throw new Error('this image has no TypeScript compiler: install the npm package typescript globally');
      compiler = load(place);
    }
    const { ModuleKind, ScriptTarget, flattenDiagnosticMessageText } = compiler;
    const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022, experimentalDecorators: !standardDecorators.test(source), verbatimModuleSyntax: true };
    const { outputText, diagnostics } = compiler.transpileModule(source, { compilerOptions, reportDiagnostics: true, fileName: 'cell.ts' });
    const found = diagnostics.find((diagnostic) => diagnostic.file);
    if (!found) return outputText;
    const { line, character } = found.file.getLineAndCharacterOfPosition(found.start);
    throw Object.assign(new SyntaxError(flattenDiagnosticMessageText(found.messageText, '\n')), { loc: { line: line + 1, column: character } });
  };
  const strip = (source) => {
    if (Module.stripTypeScriptTypes && !/(?:^|[({;,}]|\*\/|\b(?:export|default))[ \t]*@[A-Za-z_$]|\baccessor[ \t]+[\w$#"'[]/m.test(source))
      for (const options of [{ mode: 'strip' }, { mode: 'transform' }])
        try {
          return Module.stripTypeScriptTypes(source, options);
        } catch {}
    return compile(source);
  };
  if (language === 'typescript') for (const text of ['let a: number = 1', 'enum A { B }']) strip(text);
  process.emitWarning = told;

  // ---- a cell

  let session;
  const connect = () => {
    session = new inspector.Session();
    session.connect();
  };
  connect();
  // V8 tells of a cell that was ended within when it collects it, and Node dies of that where the session still stands.
  const forgetCell = () => {
    session.disconnect();
    connect();
  };
  const post = (method, options) => new Promise((resolve, reject) => {
    session.post(method, options, (error, reply) => (error ? reject(error) : resolve(reply)));
  });

  // Returns the value that V8 tells of, in an array: it may be a promise.
  const take = async (told) => {
    if (told.unserializableValue) {
      const text = told.unserializableValue;
      return [text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text)];
    }
    if (!told.objectId) return [told.value];
    const functionDeclaration = `function (value) { ${NAME}.taken = value; }`;
    await post('Runtime.callFunctionOn', { functionDeclaration, objectId: told.objectId, arguments: [{ objectId: told.objectId }], silent: true });
    const { taken } = inner;
    inner.taken = undefined;
    return [taken];
  };

  const describe = (error) => {
    if (!util.types.isNativeError(error) && !(error instanceof Error)) {
      const shown = util.inspect(error);
      return { name: error?.constructor?.name ?? typeof error, value: shown, traceback: `Uncaught ${shown}` };
    }
    let { name, message, stack } = error;
    try {
      stack = util.inspect(error);
    } catch {}
    return { name: String(name), value: String(message), traceback: String(stack) };
  };

  const describeSyntax = (message, number, source, loc) => {
    const head = `cell-${number}:${loc.line}\n${source.split('\n')[loc.line - 1] ?? ''}\n${' '.repeat(loc.column)}^\n\n`;
    return { name: 'SyntaxError', value: message, traceback: `${head}SyntaxError: ${message}` };
  };

  const failed = (error) => {
    if (error instanceof Exit) return { status: error.code ? 'error' : 'ok', exit_code: error.code };
    if (isInterrupt(error)) return { status: 'interrupted' };
    return { status: 'error', error: describe(error) };
  };

  const evaluate = async (mine, given) => {
    const source = given.replace(ASSERTED, '$1with  $3');
    let ready;
    try {
      ready = prepare(language === 'typescript' ? strip(source) : source);
    } catch (error) {
      if (!error.loc) throw error;
      return { status: 'error', error: describeSyntax(error.message, mine.number, source, error.loc) };
    }
    const evaluated = (code) => new Promise((resolve, reject) => {
      const answer = (error, reply) => {
        if (!error) return resolve(reply);
        if (!/Cannot find context/.test(error.message)) return reject(error);
        say('Node began its end when the program sent a signal to its own process, and runs no cell any more\n');
        process.reallyExit(1);
      };
      const expression = `${code}\n//# sourceURL=cell-${mine.number}`;
      const options = { expression, replMode: true, objectGroup: 'cell' };
      setImmediate(() => {
        if (mine.over) return; // it was interrupted just now
        let isWatched = true, answered; // our own steps must not go on in what an interrupt ends, here or behind an await
        try {
          watched(() => {
            session.post('Runtime.evaluate', options, (...told) => { if (isWatched) answered = told; else setImmediate(answer, ...told); });
            runMicrotasks(); // what the cell's functions await can be a loop without an end, too
          });
          if (answered) answer(...answered);
        } catch (error) {
          if (!isInterrupt(error)) return reject(error);
          forgetCell();
          mine.cut = true; // what the cell left running was ended, though its own lines had an end
          mine.end({ status: 'interrupted' });
        } finally {
          isWatched = false;
        }
      });
    });
    if (ready.names.length) {
      const { names: lexical } = await post('Runtime.globalLexicalScopeNames', {});
      const fresh = ready.names.filter((name) => !lexical.includes(name));
      if (fresh.length) await evaluated(`let ${fresh.join(', ')}`);
    }
    let told = ready.functions ? await evaluated(ready.functions) : {};
    if (!told.exceptionDetails) told = await evaluated(ready.code);
    const { result, exceptionDetails: details } = told;
    if (!details) return { status: 'ok', value: ready.shows && result.type !== 'undefined' ? result : undefined };
    const [error] = details.exception ? await take(details.exception) : [new Error(details.text)];
    if (!(error instanceof SyntaxError) || /\bcell-\d+:/.test(error.stack)) return failed(error);
    const imports = ready.error && /import|export/.test(error.message) && /module/.test(error.message); // V8 knows no `import` there
    const message = imports ? ready.error.message.replace(/ \(\d+:\d+\)$/, '') : error.message;
    const loc = ready.error?.loc ?? { line: details.lineNumber + 1, column: details.columnNumber };
    return { status: 'error', error: describeSyntax(message, mine.number, source, loc) };
  };

  const show = async (told) => {
    const [value] = await take(told);
    Object.defineProperty(globalThis, '_', { value, configurable: true, writable: true });
    const data = watched(() => bundleOf(value));
    publish(data, { main: true }, HELD);
  };

  // ---- the files that a cell changes

  let known = new Map(); // path to what tells its states apart, as the last cell left them
  const TICK = 10; // ms by which the kernel's time of a change may lie behind the clock
  const changedSince = (start) => {
    const now = new Map();
    const files = [];
    let partial = false;
    const look = (directory) => {
      let entries;
      try {
        entries = fs.readdirSync(directory || '.', { withFileTypes: true });
      } catch {
        return;
      }
      for (const entry of entries) {
        const name = directory + entry.name;
        if (now.size >= MOST_FILES) {
          partial = true;
          return;
        }
        if (entry.isDirectory()) look(`${name}/`);
        else if (entry.isFile()) {
          const found = fs.lstatSync(name, { throwIfNoEntry: false });
          if (!found) continue;
          const state = `${found.ctimeMs} ${found.size} ${found.ino}`;
          now.set(name, state);
          if (found.ctimeMs >= start - TICK && known.get(name) !== state) files.push(name.slice('/workspace/'.length));
        }
      }
    };
    look('/workspace/');
    known = now;
    return { files, files_partial: partial };
  };

  let count = 0;
  const turn = () => new Promise((resolve) => { setImmediate(resolve); });
  const run = async ({ cell: number, code, stdin: open, notebook, silent, history = true, environment }) => {
    const mine = { number, stdin: open, notebook, inputOver: false, waits: new Set(), told: 0, taken: 0, over: false, cut: false, end: undefined };
    const ended = new Promise((resolve) => {
      mine.end = (outcome) => {
        mine.over = true;
        resolve(outcome);
      };
    });
    if (isSent) awaitSigint(); // for the cell before, which must not end this one
    isSent = false;
    takeSigint();
    cell = mine;
    stdin = null;
    if (environment) {
      Object.assign(process.env, environment);
      Module._initPaths(); // for packages that came after the start
    }
    send('c', { event: 'started', cell: number, repeats: true }, HELD);
    const start = Date.now();
    const clock = process.hrtime.bigint();
    const used = process.cpuUsage();
    const looks = setInterval(() => {
      if (takeSigint()) interrupt();
    }, LOOK);
    let outcome;
    try {
      outcome = await Promise.race([evaluate(mine, code), ended]);
      if (outcome.value && !silent) await show(outcome.value);
    } catch (error) {
      outcome = failed(error);
    }
    if (outcome.error && !notebook) say(`${outcome.error.traceback}\n`);
    await turn(); // rejections that nobody has handled are told now
    if (mine.cut) outcome = { status: 'interrupted' };
    mendOutput();
    const { user, system } = process.cpuUsage(used);
    const exitCode = outcome.exit_code ?? (outcome.status === 'ok' ? process.exitCode : undefined);
    process.exitCode = undefined;
    clearInterval(looks);
    cell = null;
    const counted = history && !silent;
    if (counted) count += 1;
    session.post('Runtime.releaseObjectGroup', { objectGroup: 'cell' });
    session.post('Runtime.discardConsoleEntries');
    const interrupted = outcome.status === 'interrupted';
    if (interrupted) forgetCell();
    send('c', {
      event: 'done', cell: number, status: outcome.status, count: counted ? count : null,
      error: interrupted ? { name: 'KeyboardInterrupt', value: '', traceback: 'KeyboardInterrupt' } : outcome.error ?? null,
      exit_code: typeof exitCode === 'number' ? exitCode & 255 : undefined,
      cpu_us: user + system, peak_kib: process.resourceUsage().maxRSS, seconds: Number(process.hrtime.bigint() - clock) / 1e9,
      ...changedSince(start),
    });
  };

  // ---- completion and inspection, without side effects of the program's code

  const CHAIN = /(?:([A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*)*)\??\.)?([A-Za-z_$][\w$]*|)$/;
  const WORDS = 'async await break case catch class const continue debugger default delete do else export extends false finally for function if import in instanceof let new null return static super switch this throw true try typeof undefined var void while with yield'.split(' ');
  const quietly = async (expression) => {
    const reply = await post('Runtime.evaluate', { expression, throwOnSideEffect: true, timeout: 200, objectGroup: 'look', replMode: true });
    return reply.exceptionDetails ? undefined : reply.result;
  };
  const complete = async ({ id, code, cursor }) => {
    const before = code.slice(0, cursor);
    const [, object, word] = CHAIN.exec(before);
    let names = [];
    if (object !== undefined) {
      const told = await quietly(`Object(${object})`);
      if (told?.objectId) {
        const [value] = await take(told);
        for (let at = value; at && !util.types.isProxy(at); at = Object.getPrototypeOf(at)) names.push(...Object.getOwnPropertyNames(at));
      }
    } else if (word) {
      const { names: declared } = await post('Runtime.globalLexicalScopeNames', {});
      names = [...declared, ...Object.getOwnPropertyNames(globalThis), ...WORDS];
    }
    const matches = [...new Set(names)].filter((name) => name.startsWith(word) && /^[A-Za-z_$][\w$]*$/.test(name) && name !== NAME).sort();
    send('c', { event: 'complete', id, matches, start: cursor - word.length, end: cursor });
  };
  const isComplete = ({ id, code }) => {
    let status = 'complete';
    try {
      parsed(language === 'typescript' ? strip(code) : code);
    } catch ({ message, loc }) {
      const lines = code.trimEnd().split('\n');
      const atEnd = loc && (loc.line > lines.length || (loc.line === lines.length && loc.column >= lines.at(-1).length));
      status = atEnd || /^Unterminated (?:template|comment)/.test(message) ? 'incomplete' : 'invalid';
    }
    send('c', { event: 'is_complete', id, status, indent: status === 'incomplete' ? '  ' : '' });
  };
  const inspect = async ({ id, code, cursor }) => {
    const after = /^[\w$]*/.exec(code.slice(cursor))[0];
    const [, object, word] = CHAIN.exec(code.slice(0, cursor) + after);
    const told = word ? await quietly(object === undefined ? word : `${object}.${word}`) : undefined;
    const data = {};
    if (told) {
      const [value] = await take(told);
      data['text/plain'] = typeof value === 'function' ? String(value).slice(0, 4000) : util.inspect(value, { depth: 2 }).slice(0, 4000);
    }
    send('c', { event: 'inspect', id, found: Boolean(told), data });
  };

  // ---- the process

  const tell = (what, error) => {
    if (error instanceof Exit) cell?.end(failed(error));
    else if (!isInterrupt(error)) say(`${what}${describe(error).traceback}\n`);
  };

  const answers = { cell: run, complete, inspect, is_complete: isComplete, input: answerInput, interrupt: interruptIsSent };
  const listen = () => {
    while (heard.length) {
      const said = heard.shift();
      answers[said.op]?.(said);
    }
  };

  const begin = () => {
    for (const name of ['module', 'exports', '__filename', '__dirname']) delete globalThis[name];
    delete process._eval;
    process.execArgv = [];
    process.argv = [process.execPath];
    const values = { require: Module.createRequire(here()), module: new Module('cell'), display, prompt };
    for (const [name, value] of Object.entries(values)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    let tools;
    const put = (value) => Object.defineProperty(globalThis, 'tools', { value, configurable: true, enumerable: true, writable: true });
    Object.defineProperty(globalThis, 'tools', { configurable: true, get: () => tools ??= connectTools(), set: put });
    Object.defineProperty(globalThis, 'exports', { get: () => globalThis.module.exports, configurable: true });
    Object.defineProperty(globalThis, '__dirname', { get: () => process.cwd(), configurable: true });
    Object.defineProperty(globalThis, '__filename', { get: here, configurable: true });
    Error.prepareStackTrace = (error, sites) => { // without what evaluates the cell
      const last = sites.findLastIndex((site) => /^cell-\d+$/.test(site.getScriptNameOrSourceURL()));
      return [String(error), ...(last < 0 ? sites : sites.slice(0, last + 1))].join('\n    at ');
    };
    const { kill } = process; // which begins Node's end where a signal may end this process
    process.kill = (pid, signal = 'SIGTERM') => {
      if (![0, process.pid, -process.pid].includes(pid) || !signal) return kill(pid, signal);
      const name = typeof signal === 'string' ? signal.replace(/^SIG/, '') : signal;
      const { status } = load('child_process').spawnSync('sh', ['-c', 'kill -s "$@"', 'sh', String(name), '--', String(pid)], { stdio: 'ignore' });
      if (status) return kill(pid, signal); // which says what is wrong
      awaitSigint();
      return true;
    };
    process.exit = (code) => {
      throw new Exit(Number(code ?? process.exitCode ?? 0) & 255);
    };
    openOutput();
    watchTimers();
    const others = threads();
    startSigintWatchdog();
    startSigintWatchdog(); // twice, so that to stop it once leaves it
    taker = threads().find((thread) => !others.includes(thread));
    for (const name of ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener']) { // SIGINT ends the cell
      const add = process[name];
      process[name] = function (event, listener) {
        return event === 'SIGINT' ? this : add.call(this, event, listener);
      };
    }
    process.on('uncaughtException', (error) => tell('Uncaught ', error));
    process.on('unhandledRejection', (error) => tell('Unhandled rejection: ', error));
    socket.on('data', (data) => {
      feed(data);
      listen();
    });
    socket.on('close', () => process.reallyExit(0));
    send('c', { event: 'ready', language, features: ['complete', 'display', 'input', 'inspect', 'interrupt_words', 'is_complete'] });
    socket.resume();
  };

  socket = net.connect({ path: '\0interpreter-tools' }, () => {
    fd = socket._handle.fd;
    // `-e` puts names into the global object when its script ends, which is before the event loop turns.
    setImmediate(begin);
  });
  socket.on('error', () => process.reallyExit(1));
  socket.pause();
}
