# The cell runner of Ruby, as "Cells" in docs/protocol.md describes: irb's workspace evaluates the cells.
require "irb"
require "irb/completion"
require "json"
require "pp"
require "socket"

class CellRunner
  PIECE = 32_768 # bytes
  WORKSPACE = "/workspace/"

  # The stdin of a cell: lines that the client is asked for one by one.
  class Input
    def initialize(runner, cell, open)
      @runner, @cell, @open = runner, cell, open
    end

    def gets(*_, chomp: false)
      return nil unless @open
      line = @runner.ask(@cell)
      @open = false if line.nil?
      line && chomp ? line.chomp : line
    end

    def readline(*rest, **options) = gets(*rest, **options) || raise(EOFError, "end of file reached")

    def each_line
      return to_enum(:each_line) unless block_given?
      while (line = gets) do yield line end
    end

    def readlines(chomp: false) = each_line.map { |line| chomp ? line.chomp : line }
    def read(*) = each_line.to_a.join
    def eof? = !@open
    def tty? = false
    def fileno = 0
  end

  def initialize
    IRB.setup(nil, argv: [])
    IRB.conf[:USE_COLORIZE] = false
    @workspace = IRB::WorkSpace.new(TOPLEVEL_BINDING)
    @lexer = IRB::RubyLex.new
    @completor = IRB::RegexpCompletor.new
    @socket = UNIXSocket.new("\0interpreter-tools")
    @unanswered = @count = 0
    @evaluates = @interrupted = @whole = false
    @told = []
    trap("INT") { @evaluates && !@whole ? raise(Interrupt) : @interrupted = true }
    $stdout.sync = $stderr.sync = true
  end

  # Do what an interrupt must not end halfway, such as to read a piece: it is raised behind that.
  def whole
    begin
      @whole = true
      yield
    ensure
      @whole = false
    end
    raise Interrupt if @evaluates && @interrupted
  end

  # Return when what is said has its place among the output.
  def say(kind, content)
    body = JSON.generate(content).b
    whole do
      (0...body.bytesize).step(PIECE) do |at|
        part = body.byteslice(at, PIECE)
        more = at + PIECE < body.bytesize ? 1 : 0
        @socket.write([part.bytesize + 2, kind, more].pack("La1C") + part)
        @unanswered += 1
        read_piece while @unanswered.positive?
      end
    end
  end

  def read_piece
    head = @socket.read(4) or exit!(0) # the supervisor is gone
    length = head.unpack1("L") & 0x7fffffff
    return @unanswered -= 1 if length.zero?
    piece = @socket.read(length)
    @message = (@message || "".b) + piece.byteslice(2..)
    return unless piece.getbyte(1).zero?
    @told << JSON.parse(@message.force_encoding("UTF-8"))
    @message = nil
  end

  def told
    while @told.empty?
      IO.select([@socket])
      whole { read_piece }
    end
    @told.shift
  end

  def ask(cell)
    say("c", event: "input", cell: cell, prompt: "", password: false)
    answer = told
    answer["eof"] ? nil : answer["text"] + (answer["unended"] ? "" : "\n")
  end

  def run
    say("c", event: "ready", language: "ruby", features: %w[complete input inspect])
    loop do
      message = told
      case message["op"]
      when "cell" then run_cell(message)
      when "complete" then complete(message)
      when "inspect" then inspect_word(message)
      end
    end
  end

  def run_cell(message)
    number, code = message.values_at("cell", "code")
    @interrupted = false
    say("c", event: "started", cell: number)
    $stdin = Input.new(self, number, message["stdin"])
    began = Time.at(0, Process.clock_gettime(Process::CLOCK_REALTIME_COARSE, :nanosecond), :nsec) # by which files are dated
    clock, used = now, Process.times
    said = evaluate(number, code)
    $stdin = STDIN
    times = Process.times
    cpu = times.utime + times.stime + times.cutime + times.cstime - used.utime - used.stime - used.cutime - used.cstime
    say("c", { event: "done", cell: number, count: @count += 1, cpu_us: (cpu * 1e6).to_i, seconds: now - clock,
               files: changed_since(began) }.merge(said))
  end

  def evaluate(number, code)
    @evaluates = true
    raise Interrupt if @interrupted # before it could be raised where it came
    value = @workspace.evaluate(code, "cell-#{number}", 1)
    @workspace.set_last_value(value) if @workspace.respond_to?(:set_last_value)
    TOPLEVEL_BINDING.local_variable_set(:_, value)
    show(value) unless value.nil? || assigns?(code)
    { status: "ok" }
  rescue Interrupt
    { status: "interrupted", exit_code: 130, error: { name: "KeyboardInterrupt", value: "", traceback: "Interrupt" } }
  rescue SystemExit => e
    { status: e.success? ? "ok" : "error", exit_code: e.status }
  rescue Exception => e # rubocop:disable Lint/RescueException
    trace = e.backtrace&.take_while { |line| !line.include?("workspace.rb") } || []
    e.set_backtrace(trace)
    shown = trace.empty? ? "#{e.message} (#{e.class})" : e.full_message(highlight: false)
    $stderr.puts shown
    { status: "error", error: { name: e.class.name.to_s, value: e.message, traceback: shown } }
  ensure
    @evaluates = false
  end

  def show(value)
    data = { "text/plain" => value.pretty_inspect.chomp }
    data["application/json"] = value if [Hash, Array].include?(value.class) && plain?(value, 0)
    say("d", data: data, main: true)
  end

  def plain?(value, depth)
    case value
    when nil, true, false, Integer, String then true
    when Float then value.finite?
    when Array then depth < 20 && value.all? { |each| plain?(each, depth + 1) }
    when Hash then depth < 20 && value.all? { |key, each| key.is_a?(String) && plain?(each, depth + 1) }
    else false
    end
  end

  def assigns?(code)
    @lexer.assignment_expression?(code, local_variables: TOPLEVEL_BINDING.local_variables)
  rescue ArgumentError, NoMethodError
    false
  end

  def changed_since(began)
    Dir.glob("**/*", File::FNM_DOTMATCH, base: WORKSPACE).first(10_000).select do |name|
      found = File.lstat(WORKSPACE + name)
      found.file? && found.ctime >= began
    rescue SystemCallError
      false
    end
  end

  def complete(message)
    before = message["code"][0, message["cursor"]]
    word = before[/[\w.:$@]*\z/]
    found = @completor.completion_candidates("", word, "", bind: TOPLEVEL_BINDING)
    say("c", event: "complete", id: message["id"], matches: found.compact.uniq.sort.first(1000),
             start: message["cursor"] - word.size, end: message["cursor"])
  end

  def inspect_word(message)
    word = message["code"][0, message["cursor"]][/[\w@$]*\z/] + message["code"][message["cursor"]..][/\A\w*/]
    known = TOPLEVEL_BINDING.local_variables.include?(word.to_sym)
    data = known ? { "text/plain" => TOPLEVEL_BINDING.local_variable_get(word).pretty_inspect } : {}
    say("c", event: "inspect", id: message["id"], found: known, data: data)
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

CellRunner.new.run
