  // A part of boot.js and of cells.js.
  // The functions of the host that the program was given: `await tools.search({ query: 'x' })`. Pieces of kind "t" carry JSON on the
  // supervisor's local socket, as in python/display/tools.py. A value of several is iterated: `for await (const each of tools.count({ to: 3 }))`.
  const connectTools = () => {
    const waiting = new Map(); // by the number of the call: what takes its answers
    let last = 0, data = Buffer.alloc(0), message = [];
    const encode = (key, value) => (value?.type === 'Buffer' && Array.isArray(value.data) ? { $bytes: Buffer.from(value.data).toString('base64') }
      : value instanceof Uint8Array ? { $bytes: Buffer.from(value).toString('base64') } : value);
    const decode = (key, value) => (typeof value?.$bytes === 'string' && Object.keys(value).length === 1 ? Buffer.from(value.$bytes, 'base64') : value);
    const socket = load('net').connect({ path: '\0interpreter-tools' });
    const fail = () => {
      for (const take of waiting.values()) take({ error: { type: 'Error', message: 'the run takes no more calls' } });
    };
    socket.on('error', fail).on('close', fail).unref();
    socket.on('data', (chunk) => {
      data = Buffer.concat([data, chunk]);
      while (data.length >= 4) {
        const head = data.readUInt32LE(0), length = head & 0x7fffffff;
        if (data.length < 4 + length) return;
        const piece = data.subarray(4, 4 + length);
        data = data.subarray(4 + length);
        if (head < 0x80000000 || length < 2) continue; // the answer to a piece of ours
        message.push(piece.subarray(2));
        if (piece[1]) continue;
        const answer = JSON.parse(Buffer.concat(message).toString(), decode);
        message = [];
        waiting.get(answer.call)?.(answer);
      }
    });
    const encoded = (fields) => Buffer.from(JSON.stringify(fields, encode));
    const send = (body) => {
      for (let at = 0; at < body.length; at += 60000) {
        const piece = body.subarray(at, at + 60000), head = Buffer.alloc(6);
        head.writeUInt32LE(piece.length + 2, 0);
        head.write('t', 4);
        head[5] = at + 60000 < body.length ? 1 : 0;
        socket.write(Buffer.concat([head, piece]));
      }
    };
    const failure = ({ type, message }) => Object.defineProperty(new Error(message), 'name', { value: type, configurable: true, writable: true });
    const begin = (tool, words) => {
      const call = ++last, answers = [], plain = words.length === 1 && words[0] != null && Object.getPrototypeOf(words[0]) === Object.prototype;
      const body = encoded({ call, tool, ...(plain ? { kwargs: words[0] } : { args: words }) }); // may throw, before anybody waits
      let wake = () => {};
      waiting.set(call, (answer) => { answers.push(answer); wake(); });
      socket.ref();
      send(body);
      return {
        next: async () => {
          while (!answers.length) await new Promise((resolve) => { wake = resolve; });
          const answer = answers.shift();
          if (answer.error) throw failure(answer.error);
          return answer;
        },
        end: (isOver) => {
          waiting.delete(call);
          if (!isOver) send(encoded({ cancel: call }));
          if (!waiting.size) socket.unref();
        },
      };
    };
    const called = (name) => (...words) => {
      const call = begin(name, words);
      const value = async () => {
        let isOver = false;
        try {
          const answer = await call.next();
          isOver = !('item' in answer);
          return isOver ? answer.value : answer.item;
        } catch (error) {
          isOver = true;
          throw error;
        } finally {
          call.end(isOver);
        }
      };
      let promise;
      return {
        then: (...take) => (promise ??= value()).then(...take),
        catch: (...take) => (promise ??= value()).catch(...take),
        finally: (...take) => (promise ??= value()).finally(...take),
        async* [Symbol.asyncIterator]() {
          let isOver = false;
          try {
            for (;;) {
              const answer = await call.next();
              isOver = !('item' in answer);
              if (isOver) return;
              yield answer.item;
            }
          } catch (error) {
            isOver = true;
            throw error;
          } finally {
            call.end(isOver);
          }
        },
      };
    };
    return new Proxy({}, { get: (_, name) => (typeof name === 'string' && name !== 'then' ? called(name) : undefined) });
  };
