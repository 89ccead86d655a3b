  // A part of realm.js: the cell runner. It speaks as "Cells" in docs/protocol.md says. V8's own mode for consoles runs the cells
  // (`Runtime.evaluate` with `replMode`): `await` at the top, and `let`, `const` and `class` that stay and may be declared again. Acorn,
  // which Node holds for its own console, finds what V8 does not take there: `import`, and the awaits that an interrupt must end.
  const fs = load('fs');
  const path = load('path');
  const util = load('util');
  const vm = load('vm');
  const Module = load('module');
  const { Readable, Writable } = load('stream');
  const { pathToFileURL } = load('url');
  const { defaultResolve } = load('internal/modules/esm/resolve');
  const { Connection } = internalBinding('inspector');
  const { Pipe, PipeConnectWrap, constants } = internalBinding('pipe_wrap');
  const { streamBaseState, kReadBytesOrError, kArrayBufferOffset } = internalBinding('stream_wrap');
  const { runMicrotasks, setTickCallback, tickInfo } = internalBinding('task_queue');
  const { ContextifyScript, startSigintWatchdog, stopSigintWatchdog, watchdogHasPendingSigint } = internalBinding('contextify');
  const language = process.argv[1];
  const { URL, Error, SyntaxError, Buffer, TextEncoder, TextDecoder, setImmediate, setInterval, clearInterval } = globals; // a cell may replace them
  const { cpuUsage, hrtime, resourceUsage, reallyExit } = process;
  const { readSync, writeSync, writevSync, readdirSync, lstatSync, readFileSync } = fs;
  const { isNativeError, isProxy } = util.types;
  const look = util.inspect;
  const { apply } = Reflect;
  const { stringify, parse } = JSON;
  const encode = Reflect.apply(TextEncoder.prototype.encode.bind, TextEncoder.prototype.encode, [new TextEncoder()]);
  const decode = Reflect.apply(TextDecoder.prototype.decode.bind, TextDecoder.prototype.decode, [new TextDecoder()]);
  const base64 = Buffer.prototype.toString;
  const listed = (list) => Array.from({ length: list.length }, (_, at) => list[at]); // as an array of this realm
  const isOurs = new WeakSet(); // functions that the event loop calls: no interrupt ends them
  const ours = (callback) => {
    isOurs.add(callback);
    return callback;
  };



  const NAME = '__interpreter_tools__'; // what rewritten code calls
  const PIECE = 32768; // bytes
  const HELD = 0x40000000; // in the length of a piece that may wait for the one behind it
  const MOST_FILES = 10000;
  const MOST_JSON = 1 << 20; // characters of a value that is told as data, too

  // ---- the conversation: pieces on one socket, written and, where the program must wait, read without the event loop

  // An interrupt can end what a cell calls of it, such as `display`, at every step: V8 looks for one where a function begins and where a
  // loop turns. So each step is noted in the statement that takes it, or right behind it without a call, and the next message first
  // finishes what was left.
  let fd;
  const space = new Uint8Array(65536);
  let arrived = 0; // bytes in there
  let unread = new Uint8Array(0);
  let message = []; // pieces of the message that is coming
  const heard = []; // messages that were read while the program waited
  let leaving = []; // pieces of the message that goes
  let gone = 0; // of them
  let written = 0; // bytes of the next one
  let unanswered = 0; // pieces that the supervisor has not passed on yet

  const pause = new Int32Array(new SharedArrayBuffer(4));
  // An error's own: its other properties, such as its code, can be what a cell has made of all objects.
  const messageOf = (error) => (isNativeError(error) ? String(Object.getOwnPropertyDescriptor(error, 'message')?.value) : '');
  const rest = (error, tries) => {
    const message = messageOf(error);
    if (!/^E[A-Z]+: /.test(message)) throw error; // no room is left on the stack
    if (!/^EAGAIN: /.test(message)) reallyExit(0); // the supervisor is gone
    if (tries > 50) Atomics.wait(pause, 0, 0, 0.2);
  };

  const joined = (parts) => {
    const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  const numberAt = (bytes, at) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

  const feed = (...data) => {
    const all = joined([unread, space.subarray(0, arrived), ...data]);
    unread = all;
    arrived = 0;
    while (unread.length >= 4) {
      const length = numberAt(unread, 0) & 0x7fffffff;
      if (unread.length < 4 + length) return;
      const behind = unread.subarray(4 + length);
      if (length === 0) {
        unread = behind;
        unanswered--;
        continue;
      }
      const parts = [...message, unread.subarray(6, 4 + length)];
      const isWhole = !unread[5];
      const said = isWhole ? parse(decode(joined(parts))) : undefined;
      unread = behind;
      message = isWhole ? [] : parts;
      if (isWhole) heard[heard.length] = said;
    }
  };

  const readMore = () => {
    for (let tries = 0; !arrived; tries++) {
      try {
        if ((arrived = readSync(fd, space, 0, space.length, null)) === 0) reallyExit(0);
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
        written += writevSync(fd, [leaving[gone].subarray(written)]); // `writeSync` takes a step between its call of the kernel and its end
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
    const body = new Uint8Array(encode(stringify(content)));
    const pieces = [];
    for (let at = 0; at < body.length; at += PIECE) {
      const part = body.subarray(at, at + PIECE);
      const piece = new Uint8Array(6 + part.length);
      new DataView(piece.buffer).setUint32(0, 2 + part.length + held, true);
      piece[4] = kind.charCodeAt(0);
      piece[5] = at + PIECE < body.length ? 1 : 0;
      piece.set(part, 6);
      pieces.push(piece);
    }
    finish();
    leaving = pieces;
    gone = 0;
    finish();
    if (heard.length) setImmediate(ours(listen));
  };

  // ---- results

  const plainPrototype = globals.Object.prototype;
  const isPlain = (value, left) => {
    if (value === null || ['string', 'boolean'].includes(typeof value)) return true;
    if (typeof value === 'number') return Number.isFinite(value);
    if (typeof value !== 'object' || isProxy(value) || --left.count < 0 || left.above.has(value)) return false;
    const prototype = Object.getPrototypeOf(value);
    if (!Array.isArray(value) && prototype !== plainPrototype && prototype !== null) return false;
    left.above.add(value);
    const plain = Object.values(Object.getOwnPropertyDescriptors(value)).every(
      (property) => !property.enumerable || ('value' in property && isPlain(property.value, left)));
    left.above.delete(value);
    return plain;
  };

  // Deno's and tslab's name for a method that returns representations by MIME type.
  const REPRESENTATIONS = Symbol.for('Jupyter.display');

  const asBuffer = Buffer.from;
  const encoded = (item) => (ArrayBuffer.isView(item) ? apply(base64, asBuffer(item.buffer, item.byteOffset, item.byteLength), ['base64']) : item);
  const bundleOf = (value) => {
    const data = {};
    const own = value !== null && ['object', 'function'].includes(typeof value) && !isProxy(value) && value[REPRESENTATIONS];
    if (typeof own === 'function') {
      for (const [mime, item] of Object.entries(own.call(value) ?? {})) data[mime] = encoded(item);
      if (Object.keys(data).length) return data;
    }
    if (typeof value === 'object' && value !== null && isPlain(value, { count: 20000, above: new Set() })) {
      const text = stringify(value);
      if (text.length <= MOST_JSON) data['application/json'] = value;
    }
    data['text/plain'] = look(value, { depth: 6, maxStringLength: 1 << 20 });
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
    json: (value) => publish({ 'application/json': value, 'text/plain': look(value) }),
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
  const { WritableState } = Writable;
  const mendOutput = () => {
    for (const stream of Object.values(standard))
      try {
        while (stream.writableCorked) stream.uncork();
        if (!stream.writable || stream.writableLength) stream._writableState = new WritableState({ decodeStrings: false, emitClose: false }, stream, true);
      } catch {} // a cell has made something else of it
  };
  const say = (text) => {
    const bytes = encode(text);
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
      if (noInput()) {
        if (cell) cell.sawEnd = true;
        this.push(null);
      } else askForLine('', MANY);
    },
  });
  Object.defineProperty(process, 'stdin', { configurable: true, enumerable: true, get: () => (stdin ??= makeStdin()) });

  const answerInput = (said) => {
    if (said.eof && cell) cell.inputOver = cell.sawEnd = true;
    if (stdin) called(() => stdin.push(said.eof ? null : `${said.text}${said.unended ? '' : '\n'}`));
  };

  // A cell that reads its input by callbacks ends behind them.
  const isReading = () => {
    if (!stdin || stdin.readableEnded || stdin.destroyed) return false;
    return stdin.readableFlowing === true || stdin.listenerCount('readable') > 0;
  };

  // Once a cell has read its input to the end, an await may wait for what never comes. Node ends a program then whose event loop is empty;
  // here it has to be told that the runner keeps none going.
  const emit = process.emit;
  let isLoose = false;
  const noMore = ours(() => {
    tighten();
    if (!cell) return;
    const waits = [...cell.waits];
    cell.waits.clear();
    for (const reject of waits) reject(new Error('Detected unsettled top-level await: the standard input has ended, and nothing else can settle it'));
  });
  const tighten = () => {
    if (!isLoose) return;
    isLoose = false;
    pipe.ref();
    cell?.looks.ref();
    process.removeListener('beforeExit', noMore);
  };
  const loosen = () => {
    if (isLoose || !cell.sawEnd || !cell.waits.size || process.emit !== emit) return;
    process.on('beforeExit', noMore);
    if (!process.listeners('beforeExit').includes(noMore)) return;
    isLoose = true;
    pipe.unref();
    cell.looks.unref();
  };

  const isStdin = (file) => file === 0 || file === '/dev/stdin' || file === '/proc/self/fd/0';
  fs.readFileSync = (file, options) => {
    if (!isStdin(file)) return readFileSync(file, options);
    const lines = [];
    for (let some; (some = readLine('', MANY)) !== null; ) lines.push(some);
    const encoding = typeof options === 'string' ? options : options?.encoding;
    return encoding ? lines.join('') : asBuffer(lines.join(''));
  };
  const prompt = (question = '') => {
    if (question && !cell?.notebook) standard.stdout.write(`${question} `);
    return readLine(question);
  };

  // ---- interrupts: SIGINT ends what runs, and every await at the top of a cell

  class KeyboardInterrupt extends Error {
    name = 'KeyboardInterrupt';
  }
  class Exit { // what process.exit throws
    constructor(code) {
      this.code = code;
    }
  }
  const isExit = (error) => !isProxy(error) && error instanceof Exit;
  const wasEnded = (error) => messageOf(error) === 'Script execution was interrupted by `SIGINT`';
  const isInterrupt = (error) => wasEnded(error) || (isNativeError(error) && error instanceof KeyboardInterrupt);

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
  const threads = () => listed(readdirSync('/proc/self/task'));
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
    this.onexit = ours((code, signal) => {
      if (signal === 'SIGINT') awaitSigint();
      if (cell && takeSigint()) interrupt();
      return called(() => apply(onexit, this, [code, signal]));
    });
    return apply(spawnBeside, this, options);
  };
  const LOOK = 15; // ms between two looks while a cell awaits something

  // Throws when SIGINT came meanwhile, though it be a loop without an end.
  let step;
  globalThis.step = () => {
    if (takeSigint()) throw new KeyboardInterrupt(); // one that came before; from here on it ends the script
    return step();
  };
  const stepping = new vm.Script('step()', { filename: 'cells' });
  const { runInContext } = ContextifyScript.prototype;
  const { async_hook_fields: hookFields, async_id_fields: idFields, constants: { kStackLength, kExecutionAsyncId, kBefore, kAfter, kUsesExecutionAsyncResource },
    execution_async_resources: resources, setCallbackTrampoline } = internalBinding('async_wrap');
  const { clearAsyncIdStack, popAsyncContext, nativeHooks } = load('internal/async_hooks');
  const watched = (wanted) => {
    const before = step;
    const depth = hookFields[kStackLength];
    step = wanted;
    try {
      return apply(runInContext, stepping, [realm, -1, false, true, false]); // with `breakOnSigint`
    } catch (error) {
      if (!wasEnded(error)) throw error;
      if (cell) cell.taken += 1;
      while (hookFields[kStackLength] > depth) popAsyncContext(idFields[kExecutionAsyncId]); // Node had no time to
      mendOutput(); // for what must be done at the end
      throw error;
    } finally {
      step = before;
    }
  };

  // Runs code of the program that the event loop has come to: an interrupt ends that, and then the cell that runs.
  const called = (wanted) => {
    try {
      return watched(wanted);
    } catch (error) {
      if (!isInterrupt(error)) throw error;
      if (cell) interrupt();
      return undefined;
    }
  };

  // Has the event loop run nothing of the program that an interrupt could not end: what Node calls back, what waits for its turn
  // (promises, `process.nextTick`), timers, and what takes uncaught errors.
  const watchLoop = () => {
    const trampoline = function (id, resource, callback, ...values) {
      if (isOurs.has(callback)) return apply(callback, this, values);
      const depth = resources.length = hookFields[kStackLength] - 1;
      resources[depth] = resource;
      if (id !== 0 && hookFields[kBefore]) nativeHooks.before(id);
      const result = called(() => apply(callback, this, values));
      if (id !== 0 && hookFields[kAfter]) nativeHooks.after(id);
      resources.length = depth;
      return result;
    };
    const turn = process._tickCallback; // runs the microtasks and the ticks
    const watch = () => {
      hookFields[kUsesExecutionAsyncResource] = 1; // else Node calls back past the trampoline
      setCallbackTrampoline(trampoline); // where the program uses hooks, Node has put its own there
      tickInfo[0] = 1; // else Node runs the microtasks alone, and past this
    };
    const tick = () => {
      called(turn);
      watch();
    };
    setTickCallback(tick);
    watch();
    const timers = load('internal/timers');
    const { processImmediate, processTimers } = timers.getTimerCallbacks(tick);
    internalBinding('timers').setupTimers(ours(processImmediate), processTimers);
    const later = (callback) => (typeof callback !== 'function' || isOurs.has(callback) ? callback : function (...values) {
      let isOver = false;
      try {
        return called(() => {
          const result = apply(callback, this, values);
          isOver = true;
          return result;
        });
      } catch (error) {
        isOver = true;
        throw error;
      } finally {
        if (!isOver && this instanceof timers.Timeout) clearInterval(this); // it would begin anew for ever
      }
    });
    for (const [{ prototype }, name] of [[timers.Timeout, '_onTimeout'], [timers.Immediate, '_onImmediate']])
      Object.defineProperty(prototype, name, {
        configurable: true,
        get: () => undefined,
        set(callback) { Object.defineProperty(this, name, { value: later(callback), configurable: true, enumerable: true, writable: true }); },
      });
    const { _fatalException: caught } = process;
    process._fatalException = (error, isRejection) => {
      const isHandled = called(() => apply(caught, process, [error, isRejection]));
      if (isHandled === undefined) clearAsyncIdStack();
      return isHandled ?? true;
    };
    internalBinding('http_parser').HTTPParser.prototype.consume = () => {}; // by which Node's parser calls back past the trampoline
  };

  // Wraps what a cell awaits: an interrupt rejects it, and what the cell does after it can be interrupted, too. A cell that was
  // ended within never goes on, though a part of it was left: it would be nobody's, and nothing could end it.
  const guard = (number, value) => promised((resolve, reject) => {
    const mine = cell;
    if (mine?.number !== number || mine.over) return;
    mine.waits.add(reject);
    const settled = (how) => (result) => setImmediate(ours(() => {
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
    }));
    settle(value, settled(resolve), settled(reject));
  });
  const iterate = (number, values) => iterated(values, (value) => guard(number, value));

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
  // Where a package stands for `import`, which has conditions of its own in `exports` and knows no NODE_PATH.
  const urlOfPackage = (name) => {
    const others = Module.globalPaths.filter((directory) => path.basename(directory) === 'node_modules');
    for (const from of [here(), ...others.map((directory) => path.join(path.dirname(directory), 'cell.js'))]) {
      try {
        return defaultResolve(name, { parentURL: pathToFileURL(from).href }).url;
      } catch {} // the next one has it, or none
    }
    return pathToFileURL(Module.createRequire(here()).resolve(name)).href;
  };
  const loadedModule = async (name, asked) => {
    const options = name.endsWith('.json') && !asked?.with ? { with: { type: 'json' } } : asked; // as compilers take imports of data
    if (isPath(name)) return importHere(urlOf(name), options);
    try {
      return await importHere(name, options);
    } catch (error) {
      if (error.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes(`'${name}'`)) throw error;
      let found;
      try {
        found = urlOfPackage(name);
      } catch {
        throw error;
      }
      return importHere(found, options);
    }
  };
  // Returns the module for the names that a cell takes from it. Node.js does not see all names of a CommonJS module ahead: those are
  // taken from what the module has made. What a cell in TypeScript imports and no module has may be a type.
  const imported = async (given, asked, names = []) => {
    const name = String(given);
    const module = await loadedModule(name, asked);
    const hidden = names.filter((each) => !(each in module));
    if (!hidden.length) return module;
    const made = globals.Object(module['module.exports']);
    const missing = hidden.find((each) => !(each in made));
    if (missing !== undefined && language !== 'typescript')
      throw new SyntaxError(`The requested module '${name}' does not provide an export named '${missing}'`);
    return Object.fromEntries(names.map((each) => [each, (each in module ? module : made)[each]]));
  };
  const meta = {
    get url() { return pathToFileURL(here()).href; },
    get filename() { return here(); },
    get dirname() { return process.cwd(); },
    resolve: (name) => (isPath(name) ? urlOf(name) : urlOfPackage(name)),
  };

  // ---- from the code of a cell to what V8 evaluates

  const BINDINGS = { ImportDefaultSpecifier: () => 'default', ImportSpecifier: ({ imported }) => imported.value ?? imported.name };
  const rewriteImport = (node) => {
    const attributes = node.attributes?.map(({ key, value }) => `${stringify(key.value ?? key.name)}: ${value.raw}`).join(', ');
    const asked = attributes ? `{ with: { ${attributes} } }` : 'undefined';
    const taken = stringify(node.specifiers.map((specifier) => BINDINGS[specifier.type]?.(specifier)).filter(Boolean));
    const loaded = `await ${NAME}.guard(${cell.number}, ${NAME}.import(${node.source.raw}, ${asked}, ${taken}))`;
    const whole = node.specifiers.find(({ type }) => type === 'ImportNamespaceSpecifier');
    const names = node.specifiers.filter((specifier) => specifier !== whole)
      .map((specifier) => `${stringify(BINDINGS[specifier.type](specifier))}: ${specifier.local.name}`);
    if (!whole) return names.length ? `let { ${names.join(', ')} } = ${loaded};` : `void ${loaded};`;
    const rest = names.length ? `, { ${names.join(', ')} } = ${whole.local.name}` : '';
    return `let ${whole.local.name} = ${loaded}${rest};`;
  };

  const isEmpty = (node) => node.type === 'VariableDeclaration' && node.kind === 'var' && node.declarations.every(({ init }) => !init);

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
      if (stands && isEmpty(node)) { // has no value, and does not take that of the statement before
        node.declarations.forEach(({ id }) => bind(id));
        edits.push([node.start, node.end, ';']);
        return;
      }
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
      // V8 looks for an interrupt after some thousand turns of a loop, or at a call of a function in JavaScript.
      const { body } = node;
      const isLoop = /^(?:For|While|DoWhile)/.test(node.type) && /[(`]/.test(code.slice(body.start, body.end));
      if (isLoop && body.type === 'BlockStatement') edits.push([body.start + 1, body.start + 1, `${NAME}.turn();`]);
      else if (isLoop) edits.push([body.start, body.start, `{${NAME}.turn();`]);
      Object.entries(node).forEach(([key, value]) => typeof value === 'object' && key !== 'source' && visit(value, within, key === 'declaration' ? above : node));
      if (isLoop && body.type !== 'BlockStatement') edits.push([body.end, body.end, '}']);
      return undefined;
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

  const ACORN = 'internal/deps/acorn/acorn/dist/acorn';
  const PARSED = { ecmaVersion: 'latest', allowAwaitOutsideFunction: true, allowImportExportEverywhere: true, allowHashBang: true, locations: true };
  // Node has Acorn compiled, in the realm of the cells. Where a cell has changed what it is made of, the runner's realm has its own.
  const leant = [];
  for (const name of ['Object', 'Function', 'Array', 'String', 'RegExp']) {
    const { prototype } = globals[name];
    const methods = Object.getOwnPropertyNames(prototype).filter((key) => 'value' in Object.getOwnPropertyDescriptor(prototype, key));
    leant.push({ prototype, count: Object.getOwnPropertyNames(prototype).length, methods: methods.map((key) => [key, prototype[key]]) });
  }
  const unchanged = ({ prototype, count, methods }) => Object.getOwnPropertyNames(prototype).length === count &&
    methods.every(([key, value]) => prototype[key] === value);
  let ownAcorn;
  const nodesAcorn = load(ACORN);
  const acorn = () => {
    if (leant.every(unchanged)) return nodesAcorn;
    if (!ownAcorn) {
      const module = { exports: {} };
      Function('module', 'exports', internalBinding('builtins').natives[ACORN])(module, module.exports);
      ownAcorn = module.exports;
    }
    return ownAcorn;
  };

  const parsed = (code) => {
    if (/^\s*\{/.test(code) && !/;\s*$/.test(code)) { // an object where that is possible, as in consoles
      try {
        const asValue = `(${code}\n)`;
        return { code: asValue, tree: acorn().parse(asValue, PARSED) };
      } catch {}
    }
    return { code, tree: acorn().parse(code, PARSED) };
  };

  // Returns what to evaluate, and whether its value is shown: that of a last expression is. Acorn's error is kept for its place.
  const prepare = (source) => {
    try {
      const { code, tree } = parsed(source);
      const last = tree.body.findLast((node) => !isEmpty(node));
      return { ...rewrite(code, tree), shows: last?.type === 'ExpressionStatement' && last.directive !== 'use strict' };
    } catch (error) {
      if (!error.loc) throw error;
      return { functions: '', names: [], code: source, shows: true, error };
    }
  };

  // ---- TypeScript

  // ---- modules.js is put here
  // ---- typescript.js is put here

  if (language === 'typescript' && hooked) hookTypeScript();
  const plain = (source) => (language === 'typescript' ? strip(source, 'cell.ts', true) : source);

  // ---- a cell

  let connection; // of V8's inspector
  let asked = 0;
  const waiting = new Map();
  const connect = () => {
    waiting.clear();
    connection = new Connection(ours((text) => {
      const said = parse(text);
      const take = waiting.get(said.id);
      waiting.delete(said.id);
      take?.(said);
    }));
  };
  connect();
  // V8 tells of a cell that was ended within when it collects it, and Node dies of that where the session still stands.
  const forgetCell = () => {
    connection.disconnect();
    connect();
  };
  const post = (method, params, take) => {
    const id = ++asked;
    waiting.set(id, take);
    connection.dispatch(stringify({ id, method, params }));
  };
  // Returns what V8 says at once.
  const ask = (method, params) => {
    let told;
    post(method, params, (said) => { told = said; });
    if (!told?.result) throw new Error(`V8 does not answer ${method}: ${told?.error?.message}`);
    return told.result;
  };

  // Returns the value that V8 tells of: it may be a promise.
  let taken;
  const take = (told) => {
    if (told.unserializableValue) {
      const text = told.unserializableValue;
      return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text);
    }
    if (!told.objectId) return told.value;
    const functionDeclaration = `function (value) { ${NAME}.take(value); }`;
    ask('Runtime.callFunctionOn', { functionDeclaration, objectId: told.objectId, arguments: [{ objectId: told.objectId }], silent: true });
    const value = taken;
    taken = undefined;
    return value;
  };

  const bounded = (text) => (text.length > MOST_JSON ? `${text.slice(0, MOST_JSON)}...` : text);
  const describe = (error) => {
    if (!isNativeError(error) && !(error instanceof Error)) {
      const shown = look(error);
      return { name: String(error?.constructor?.name ?? typeof error), value: shown, traceback: `Uncaught ${shown}` };
    }
    let { name, message, stack } = error;
    try {
      stack = look(error);
    } catch {}
    return { name: String(name), value: String(message), traceback: String(stack) };
  };

  const describeSyntax = (message, number, source, loc) => {
    const head = `cell-${number}:${loc.line}\n${source.split('\n')[loc.line - 1] ?? ''}\n${' '.repeat(loc.column)}^\n\n`;
    return { name: 'SyntaxError', value: message, traceback: `${head}SyntaxError: ${message}` };
  };

  const described = (error) => {
    try {
      const { name, value, traceback } = watched(() => describe(error));
      return { name: bounded(name), value: bounded(value), traceback: bounded(traceback) };
    } catch (another) {
      if (isInterrupt(another)) throw another;
      return { name: 'Error', value: '', traceback: 'Uncaught error, which threw another one when it was looked at' };
    }
  };

  const failed = (error) => {
    if (isExit(error)) return { status: error.code ? 'error' : 'ok', exit_code: error.code };
    if (isInterrupt(error)) return { status: 'interrupted' };
    try {
      return { status: 'error', error: described(error) };
    } catch {
      return { status: 'interrupted' };
    }
  };

  // Has V8 evaluate code of a cell, and then `take` what it says, outside of what an interrupt can end.
  const evaluated = (mine, code, take) => {
    const options = { expression: `${code}\n//# sourceURL=cell-${mine.number}`, replMode: true, objectGroup: 'cell' };
    const next = (said) => {
      try {
        if (said.result) return take(said.result);
      } catch (error) {
        return mine.end(failed(error));
      }
      if (!/Cannot find context/.test(said.error.message)) return mine.end({ status: 'interrupted' });
      say('Node began its end when the program sent a signal to its own process, and runs no cell any more\n');
      return reallyExit(1);
    };
    setImmediate(ours(() => {
      if (mine.over) return; // it was interrupted just now
      let isWatched = true, answer;
      try {
        watched(() => {
          post('Runtime.evaluate', options, (said) => { if (isWatched) answer = said; else setImmediate(ours(() => next(said))); });
          runMicrotasks(); // what the cell's functions await can be a loop without an end, too
        });
      } catch (error) {
        if (!isInterrupt(error)) throw error;
        forgetCell();
        mine.cut = true; // what the cell left running was ended, though its own lines had an end
        mine.end({ status: 'interrupted' });
      } finally {
        isWatched = false;
      }
      if (answer && !mine.over) next(answer);
    }));
  };

  const evaluate = (mine, given) => {
    const source = withAttributes(given);
    let ready;
    try {
      ready = prepare(plain(source));
    } catch (error) {
      if (!error.loc) throw error;
      return mine.end({ status: 'error', error: describeSyntax(error.message, mine.number, source, error.loc) });
    }
    const parts = [];
    if (ready.names.length) {
      const { names: lexical } = ask('Runtime.globalLexicalScopeNames', {});
      const fresh = ready.names.filter((name) => !lexical.includes(name));
      if (fresh.length) parts.push(`let ${fresh.join(', ')}`);
    }
    if (ready.functions) parts.push(ready.functions);
    parts.push(ready.code);
    const next = ({ result, exceptionDetails: details } = {}) => {
      if (!details && parts.length) return evaluated(mine, parts.shift(), next);
      if (!details) return mine.end({ status: 'ok', value: ready.shows && result.type !== 'undefined' ? result : undefined });
      const error = details.exception ? take(details.exception) : undefined;
      if (!details.exception) return mine.end({ status: 'error', error: describeSyntax(details.text, mine.number, source, { line: 1, column: 0 }) });
      const isSyntax = isNativeError(error) && details.exception.className === 'SyntaxError' && !details.stackTrace && !/\bcell-\d+:/.test(details.exception.description);
      if (!isSyntax) return mine.end(failed(error));
      const { name, value, traceback } = described(error);
      const imports = ready.error && /import|export/.test(value) && /module/.test(value); // V8 knows no `import` there
      const message = imports ? ready.error.message.replace(/ \(\d+:\d+\)$/, '') : value;
      const loc = ready.error?.loc ?? { line: details.lineNumber + 1, column: details.columnNumber };
      return mine.end({ status: 'error', error: describeSyntax(message, mine.number, source, loc) });
    };
    return next();
  };

  const showResult = (told) => {
    const value = take(told);
    try {
      Object.defineProperty(globals, '_', { value, configurable: true, writable: true });
    } catch {} // a cell has made something of its own of it
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
        entries = listed(readdirSync(directory || '.', { withFileTypes: true }));
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
          const found = lstatSync(name, { throwIfNoEntry: false });
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
  const run = ({ cell: number, code, stdin: open, notebook, silent, history = true, environment }) => {
    const mine = { number, stdin: open, notebook, silent, inputOver: false, waits: new Set(), told: 0, taken: 0, over: false, cut: false, end: undefined };
    mine.end = (outcome) => {
      if (mine.over) return;
      mine.held = outcome.status === 'ok' && stdin && isReading() ? outcome : undefined;
      if (mine.held) return;
      mine.over = true;
      setImmediate(ours(() => conclude(mine, outcome)));
    };
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
    mine.isCounted = history && !silent;
    mine.start = Date.now();
    mine.clock = hrtime.bigint();
    mine.used = cpuUsage();
    try {
      mine.looks = setInterval(ours(() => {
        if (takeSigint()) return interrupt();
        if (mine.held && !isReading()) return mine.end(mine.held);
        return loosen();
      }), LOOK);
    } catch {} // a cell has broken Node's timers: the client says in words that it has sent a signal
    try {
      evaluate(mine, code);
    } catch (error) {
      mine.end(failed(error));
    }
  };

  const conclude = (mine, told) => {
    let outcome = told;
    try {
      if (outcome.value && !mine.silent) showResult(outcome.value);
    } catch (error) {
      outcome = failed(error);
    }
    if (outcome.error && !mine.notebook) say(`${outcome.error.traceback}\n`);
    setImmediate(ours(() => finishCell(mine, outcome))); // rejections that nobody has handled are told before
  };

  const finishCell = (mine, told) => {
    const outcome = mine.cut ? { status: 'interrupted' } : told;
    mendOutput();
    const { user, system } = cpuUsage(mine.used);
    const exitCode = outcome.exit_code ?? (outcome.status === 'ok' ? process.exitCode : undefined);
    process.exitCode = undefined;
    for (const tidy of [tighten, () => clearInterval(mine.looks)])
      try {
        tidy();
      } catch {} // a cell has made something else of it
    cell = null;
    if (mine.isCounted) count += 1;
    post('Runtime.releaseObjectGroup', { objectGroup: 'cell' });
    post('Runtime.discardConsoleEntries');
    const interrupted = outcome.status === 'interrupted';
    if (interrupted) forgetCell();
    send('c', {
      event: 'done', cell: mine.number, status: outcome.status, count: mine.isCounted ? count : null,
      error: interrupted ? { name: 'KeyboardInterrupt', value: '', traceback: 'KeyboardInterrupt' } : outcome.error ?? null,
      exit_code: typeof exitCode === 'number' ? exitCode & 255 : undefined,
      cpu_us: user + system, peak_kib: resourceUsage().maxRSS, seconds: Number(hrtime.bigint() - mine.clock) / 1e9,
      ...changedSince(mine.start),
    });
  };

  // ---- completion and inspection, without side effects of the program's code

  const CHAIN = /(?:([A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*)*)\??\.)?([A-Za-z_$][\w$]*|)$/;
  const WORDS = 'async await break case catch class const continue debugger default delete do else export extends false finally for function if import in instanceof let new null return static super switch this throw true try typeof undefined var void while with yield'.split(' ');
  const quietly = (expression) => {
    const reply = ask('Runtime.evaluate', { expression, throwOnSideEffect: true, timeout: 200, objectGroup: 'look' });
    return reply.exceptionDetails ? undefined : reply.result;
  };
  const complete = ({ id, code, cursor }) => {
    const before = code.slice(0, cursor);
    const [, object, word] = CHAIN.exec(before);
    let names = [];
    if (object !== undefined) {
      const told = quietly(`Object(${object})`);
      if (told?.objectId) {
        const value = take(told);
        for (let at = value; at && !isProxy(at); at = Object.getPrototypeOf(at)) names.push(...Object.getOwnPropertyNames(at));
      }
    } else if (word) {
      const { names: declared } = ask('Runtime.globalLexicalScopeNames', {});
      names = [...declared, ...Object.getOwnPropertyNames(globals), ...WORDS];
    }
    const matches = [...new Set(names)].filter((name) => name.startsWith(word) && /^[A-Za-z_$][\w$]*$/.test(name) && name !== NAME).sort();
    send('c', { event: 'complete', id, matches, start: cursor - word.length, end: cursor });
  };
  const isComplete = ({ id, code }) => {
    let status = 'complete';
    try {
      parsed(plain(code));
    } catch ({ message, loc }) {
      const lines = code.trimEnd().split('\n');
      const atEnd = loc && (loc.line > lines.length || (loc.line === lines.length && loc.column >= lines.at(-1).length));
      status = atEnd || /^Unterminated (?:template|comment)/.test(message) ? 'incomplete' : 'invalid';
    }
    send('c', { event: 'is_complete', id, status, indent: status === 'incomplete' ? '  ' : '' });
  };
  const inspect = ({ id, code, cursor }) => {
    const after = /^[\w$]*/.exec(code.slice(cursor))[0];
    const [, object, word] = CHAIN.exec(code.slice(0, cursor) + after);
    const told = word ? quietly(object === undefined ? word : `${object}.${word}`) : undefined;
    const data = {};
    if (told) {
      const value = take(told);
      data['text/plain'] = typeof value === 'function' ? String(value).slice(0, 4000) : look(value, { depth: 2 }).slice(0, 4000);
    }
    send('c', { event: 'inspect', id, found: Boolean(told), data });
  };

  // ---- the process

  const tell = (what, error) => {
    if (isExit(error)) cell?.end(failed(error));
    else if (!isInterrupt(error)) say(`${what}${described(error).traceback}\n`);
  };

  const answers = { cell: run, complete, inspect, is_complete: isComplete, input: answerInput, interrupt: interruptIsSent };
  const listen = () => {
    while (heard.length) {
      const said = heard.shift();
      try {
        answers[said.op]?.(said);
      } catch (error) {
        tell('Uncaught ', error);
      }
    }
  };

  const begin = () => {
    for (const name of ['module', 'exports', '__filename', '__dirname']) delete globals[name];
    delete process._eval;
    process.execArgv = [];
    process.argv = [process.execPath];
    const values = { require: Module.createRequire(here()), module: new Module('cell'), display, prompt };
    for (const [name, value] of Object.entries(values)) Object.defineProperty(globals, name, { value, configurable: true, writable: true });
    let tools;
    const put = (value) => Object.defineProperty(globals, 'tools', { value, configurable: true, enumerable: true, writable: true });
    Object.defineProperty(globals, 'tools', { configurable: true, get: () => tools ??= connectTools(), set: put });
    Object.defineProperty(globals, 'exports', { get: () => globals.module.exports, configurable: true });
    Object.defineProperty(globals, '__dirname', { get: () => process.cwd(), configurable: true });
    Object.defineProperty(globals, '__filename', { get: here, configurable: true });
    Error.prepareStackTrace = (error, sites) => { // without what evaluates the cell
      const all = listed(sites).filter((site) => site.getScriptNameOrSourceURL() !== 'cells');
      const last = all.findLastIndex((site) => /^cell-\d+$/.test(site.getScriptNameOrSourceURL()));
      let head = 'Error';
      try {
        head = String(error);
      } catch {} // a cell has made something else of errors
      return [head, ...(last < 0 ? all : all.slice(0, last + 1))].join('\n    at ');
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
    watchLoop();
    const others = threads();
    startSigintWatchdog();
    startSigintWatchdog(); // twice, so that to stop it once leaves it
    taker = threads().find((thread) => !others.includes(thread));
    for (const name of ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener']) { // SIGINT ends the cell
      const add = process[name];
      process[name] = function (event, listener) {
        return event === 'SIGINT' ? this : apply(add, this, [event, listener]);
      };
    }
    process.on('uncaughtException', (error) => tell('Uncaught ', error));
    process.on('unhandledRejection', (error) => tell('Unhandled rejection: ', error));
    send('c', { event: 'ready', language, features: ['complete', 'display', 'input', 'inspect', 'interrupt_words', 'is_complete'] });
    pipe.readStart();
  };

  Object.defineProperty(globals, NAME, { value: Object.freeze({
    guard, iterate, meta, import: (name, options, names) => promised((resolve, reject) => { settle(imported(name, options, names), resolve, reject); }),
    take: (value) => { taken = value; },
    turn: () => {},
  }) });

  const pipe = new Pipe(constants.SOCKET);
  pipe.onread = ours((data) => {
    const length = streamBaseState[kReadBytesOrError];
    if (length < 0) reallyExit(0);
    if (length > 0) feed(new Uint8Array(data, streamBaseState[kArrayBufferOffset], length));
    listen();
  });
  const connecting = new PipeConnectWrap();
  connecting.oncomplete = ours((failure) => {
    if (failure) reallyExit(1);
    fd = pipe.fd;
    // `-e` puts names into the global object when its script ends, which is before the event loop turns.
    setImmediate(ours(begin));
  });
  if (pipe.connect(connecting, '\0interpreter-tools')) reallyExit(1);
