// What mpirun says about the end of a run, told apart from what the ranks write to stderr.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace strake {

class MpirunMessages {
 public:
  // Takes the next bytes of mpirun's stderr and returns those to pass on at once: all that the
  // ranks wrote, and messages of mpirun's that are not about the end of a rank.
  std::string take(std::string_view bytes);
  // What was held back when the stream ended.
  std::string finish();

  // Whether the run is known to have failed.
  bool failed() const { return aborted_ || failure_.has_value(); }

  // Says why the run failed where no rank has done so itself; empty where one has.
  std::string explanation(int mpirun_code) const;

  // The run's exit code, given mpirun's.
  int exit_code(int mpirun_code) const;

 private:
  struct Failure {
    std::string line;
    bool lost;  // killed, cut off or gone early: mpirun's code is not the rank's own
  };

  void end_line(char terminator, std::string& passed);
  void end_message(std::string& passed);
  static std::optional<Failure> recognize(const std::string& text);

  std::string line_;        // since the last end of line
  size_t line_passed_ = 0;  // bytes of it that were passed on
  std::string message_;     // held back: a message of mpirun's, from its first rule on
  std::string log_;         // held back: lines of Open MPI's own log
  bool aborted_ = false;    // a rank has named itself as the cause
  bool explained_ = false;  // a rank has written an error
  std::optional<Failure> failure_;
};

}  // namespace strake
