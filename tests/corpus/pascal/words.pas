program Words;
{$mode objfpc}{$H+}
uses Classes, SysUtils;
var
  Names: TStringList;
  Line, Word: string;
  Place: Integer;
begin
  Names := TStringList.Create;
  Names.Sorted := True;
  Names.CaseSensitive := True;
  while not Eof do
  begin
    ReadLn(Line);
    for Word in Line.Split([' '], TStringSplitOptions.ExcludeEmpty) do
    begin
      Place := Names.IndexOf(Word);
      if Place < 0 then Place := Names.Add(Word);
      Names.Objects[Place] := TObject(PtrInt(Names.Objects[Place]) + 1);
    end;
  end;
  for Place := 0 to Names.Count - 1 do
    WriteLn(Names[Place], ' ', PtrInt(Names.Objects[Place]));
  Names.Free;
end.
