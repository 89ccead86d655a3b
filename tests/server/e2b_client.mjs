// A program for E2B's clients from npm, as their makers publish them. It ends with an exit code other than 0 when anything differs.
import assert from 'node:assert/strict'
import { CommandExitError, NotFoundError } from 'e2b'
import { Sandbox } from '@e2b/code-interpreter'

const sandbox = await Sandbox.create({ metadata: { a: 'b' }, envs: { A: 'sandbox' } })

// Cells.
assert.equal((await sandbox.runCode('x = 1; x + 1')).text, '2')
const lines = []
const failed = await sandbox.runCode('print(x)\n1 / 0', { onStdout: (message) => lines.push(message.line) })
assert.deepEqual(lines, ['1\n'])
assert.equal(failed.error.name, 'ZeroDivisionError')
assert.equal((await sandbox.runCode("import os; os.environ['A']", { envs: { A: 'cell' } })).text, 'cell')
const context = await sandbox.createCodeContext({ language: 'bash' })
assert.deepEqual((await sandbox.runCode('echo $A', { context })).logs.stdout, ['sandbox\n'])
assert.ok((await sandbox.listCodeContexts()).some((each) => each.id === context.id))
await sandbox.restartCodeContext(context)
await sandbox.removeCodeContext(context)
await assert.rejects(sandbox.runCode('1', { context }), NotFoundError)
await assert.rejects(sandbox.runCode('1', { language: 'r' }))

// Commands and terminals.
const said = await sandbox.commands.run('echo $A $B; pwd', { envs: { B: '1' }, cwd: '/tmp' })
assert.deepEqual([said.stdout, said.exitCode], ['sandbox 1\n/tmp\n', 0])
await assert.rejects(sandbox.commands.run('exit 3'), (error) => error instanceof CommandExitError && error.exitCode === 3)
const cat = await sandbox.commands.run('cat', { background: true, stdin: true })
assert.ok((await sandbox.commands.list()).some((each) => each.pid === cat.pid))
await sandbox.commands.sendStdin(cat.pid, 'abc')
await sandbox.commands.closeStdin(cat.pid)
assert.equal((await cat.wait()).stdout, 'abc')
const sleeping = await sandbox.commands.run('sleep 300', { background: true })
assert.ok(await sandbox.commands.kill(sleeping.pid))
let shown = ''
const decoder = new TextDecoder()
const terminal = await sandbox.pty.create({ cols: 80, rows: 24, onData: (data) => { shown += decoder.decode(data) } })
await sandbox.pty.resize(terminal.pid, { cols: 100, rows: 30 })
await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode('stty size; exit\n'))
await terminal.wait()
assert.ok(shown.includes('30 100'), shown)

// Files.
await sandbox.files.write('a/b', 'text')
assert.equal(await sandbox.files.read('a/b'), 'text')
assert.deepEqual((await sandbox.files.list('a')).map((each) => each.path), ['/home/user/a/b'])
const data = new Uint8Array(5_000_000).fill(7)
await sandbox.files.write('large', data.buffer)
assert.deepEqual(await sandbox.files.read('large', { format: 'bytes' }), data)
await sandbox.files.rename('a/b', 'a/c')
assert.deepEqual([await sandbox.files.exists('a/b'), await sandbox.files.exists('a/c')], [false, true])
const happened = []
const watch = await sandbox.files.watchDir('a', (event) => happened.push(event.name))
await sandbox.files.write('a/d', '1')
for (let i = 0; i < 200 && !happened.includes('d'); i++) await new Promise((done) => setTimeout(done, 50))
assert.ok(happened.includes('d'))
await watch.stop()
assert.equal(await (await fetch(await sandbox.downloadUrl('a/c'))).text(), 'text')
await sandbox.files.remove('a')

// The sandbox itself.
assert.deepEqual((await sandbox.getInfo()).metadata, { a: 'b' })
assert.equal((await Sandbox.list({ query: { metadata: { a: 'b' } } }).nextItems()).length, 1)
await sandbox.setTimeout(60_000)
assert.equal((await (await Sandbox.connect(sandbox.sandboxId)).runCode('x')).text, '1')
assert.ok(await sandbox.isRunning())
assert.ok(await sandbox.kill())
assert.ok(!(await sandbox.isRunning()))
console.log('all is well')
