program Primes;
var
  N, I, Total: Integer;
  Prime: Boolean;
begin
  Total := 0;
  for N := 2 to 49 do
  begin
    Prime := True;
    for I := 2 to Trunc(Sqrt(N)) do
      if N mod I = 0 then Prime := False;
    if Prime then
    begin
      if Total > 0 then Write(' ');
      Write(N);
      Total := Total + N;
    end;
  end;
  WriteLn;
  WriteLn(Total);
end.
